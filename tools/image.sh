#!/usr/bin/env bash
# Builds the container image: tools/image.sh IMAGE [argument of the engine's build...]
#
# ENGINE says with what; without it the first of docker, podman and buildah that works. An engine that is installed and cannot
# build, such as a docker client without its daemon, is passed over.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?usage: tools/image.sh IMAGE [argument...]}
shift

works() {
  case $1 in
  docker) docker info >/dev/null 2>&1 ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

engine=${ENGINE-}
if [ -z "$engine" ]; then
  for candidate in docker podman buildah; do
    if works $candidate; then engine=$candidate && break; fi
  done
fi
[ -n "$engine" ] || { echo "make image: none of docker, podman and buildah works here" >&2; exit 1; }

version=$(sed -n 's/.*static let current = "\(.*\)"/\1/p' Sources/PruningService/Version.swift)
arguments=(
  --tag "$image"
  --build-arg VERSION="$version"
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)"
  --build-arg SOURCE="$(git config --get remote.origin.url 2>/dev/null || echo unknown)"
)
case $engine in
# Cache mounts are BuildKit's.
docker) export DOCKER_BUILDKIT=1 ;;
# Their own format has no HEALTHCHECK, and buildah keeps layers only if asked.
podman | buildah) arguments+=(--format docker --layers) ;;
*) echo "make image: ENGINE is docker, podman or buildah, not $engine" >&2; exit 64 ;;
esac
exec "$engine" build "${arguments[@]}" "$@" .
