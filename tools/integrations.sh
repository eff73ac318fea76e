#!/usr/bin/env bash
# Runs the tests of the Python client that need torch and transformers: tools/integrations.sh PYTEST_ARGUMENTS...
#
#   tools/integrations.sh --prepare   makes their environment and runs nothing
#   tools/integrations.sh --check     says by its exit status whether it is there; installs nothing
#
# Their environment is large, so it lies outside the tree and is kept: CROP_INTEGRATIONS names its folder,
# CROP_TORCH what pip installs as torch (the build for CPUs, where pip knows of one).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${CROP_INTEGRATIONS:-${XDG_CACHE_HOME:-$HOME/.cache}/crop-integrations}
python=$folder/venv/bin/python
packages=(transformers==5.24.* numpy pillow pytest==9.* pytest-timeout==2.* safetensors)
stamp=$folder/packages
wanted="${CROP_TORCH:-cpu} ${packages[*]}"

is_there() { [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }

[ "${1-}" != --check ] || { is_there; exit; }
if ! is_there; then
  echo "integrations: making $folder/venv"
  mkdir -p "$folder"
  [ -x "$python" ] || python3 -m venv "$folder/venv"
  pip() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
  if [ -n "${CROP_TORCH:-}" ]; then
    pip "$CROP_TORCH"
  else
    pip "torch==2.13.0+cpu" 2>/dev/null || pip "torch>=2.6"
  fi
  pip "${packages[@]}"
  echo "$wanted" >"$stamp"
fi
[ "${1-}" != --prepare ] || exit 0
export CROP_BINARY=${CROP_BINARY:-$PWD/.build/release/crop}
export PYTHONPATH=$PWD/clients/python/src
# Tiny matrices: threads would wait for each other, on a busy machine for minutes.
export OMP_NUM_THREADS=1
exec timeout 1800 "$python" -m pytest clients/python/tests_integration "$@"
