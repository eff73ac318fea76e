#!/usr/bin/env bash
# Installs crop below a folder: tools/install.sh PREFIX [PROGRAM]
#
# PREFIX/bin/crop needs nothing of the Swift toolchain. Completions go where bash, zsh and fish look for them below
# /usr, /usr/local and, for bash and fish, ~/.local.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${1:?usage: tools/install.sh PREFIX [PROGRAM]}
program=${2-}

if [ -z "$program" ]; then
  tools/setup.sh build
  swift build -c release --product crop --static-swift-stdlib --scratch-path .build-static
  program=.build-static/release/crop
fi

install -D -m 755 "$program" "$prefix/bin/crop"
while read -r shell file; do
  mkdir -p "$(dirname "$prefix/share/$file")"
  "$program" --generate-completion-script "$shell" >"$prefix/share/$file"
done <<'EOF'
bash bash-completion/completions/crop
zsh zsh/site-functions/_crop
fish fish/vendor_completions.d/crop.fish
EOF

echo "installed $prefix/bin/crop"
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) echo "$prefix/bin is not on the PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
