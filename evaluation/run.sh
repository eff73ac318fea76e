#!/usr/bin/env bash
# Runs a stage of the study in an environment with torch: evaluation/run.sh STAGE [ARGUMENTS]
#
# The environment is large, so it lies outside the tree and is kept: CROP_EVALUATION names its folder, which also holds
# data and checkpoints; CROP_EVALUATION_PYTHON an interpreter to use instead. `--check` says by its exit status whether
# everything is there already, pictures and fonts (evaluation/DATA.md) included; it installs nothing.
set -euo pipefail
cd "$(dirname "$0")"
export CROP_EVALUATION=${CROP_EVALUATION:-${XDG_CACHE_HOME:-$HOME/.cache}/crop-evaluation}
python=${CROP_EVALUATION_PYTHON:-$CROP_EVALUATION/venv/bin/python}
packages=(numpy pillow safetensors matplotlib pytest)

complete() { "$python" -c 'import torch, numpy, PIL, safetensors, matplotlib, pytest' 2>/dev/null; }

if [ "${1-}" = --check ]; then
  for font in noto/NotoColorEmoji dejavu/DejaVuSans-Bold liberation/LiberationSans-Bold freefont/FreeSansBold; do
    [ -e /usr/share/fonts/truetype/$font.ttf ] || exit 1
  done
  complete && [ -d /usr/share/wallpapers/Altai ] &&
    [ -d /usr/share/backgrounds/mate ] && [ -e /usr/share/backgrounds/goldfish.png ]
  exit
fi
if ! complete; then
  if [ -n "${CROP_EVALUATION_PYTHON:-}" ]; then
    echo "evaluation: $python lacks torch, numpy, pillow, safetensors, matplotlib or pytest" >&2
    exit 1
  fi
  echo "evaluation: making $CROP_EVALUATION/venv"
  mkdir -p "$CROP_EVALUATION"
  python3 -m venv "$CROP_EVALUATION/venv"
  pip() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
  pip "torch==2.13.0+cpu" 2>/dev/null || pip "torch>=2.6"
  pip "${packages[@]}"
fi
# Small matrices: threads would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
if [ "${1-}" = pytest ]; then shift; exec "$python" -m pytest "$@"; fi
exec "$python" -u -m crop_evaluation "$@"
