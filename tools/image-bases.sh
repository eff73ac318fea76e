#!/usr/bin/env bash
# Builds the image where no registry can be reached, on base images of this machine's own making:
#
#   tools/image-bases.sh FOLDER IMAGE [argument of the engine's build...]
#
# FOLDER keeps what is made: a minimal Debian 12 of debootstrap as the base of the result, the same with compilers as the base of the
# build, into which this machine's Swift toolchain is mounted, and buildah's storage. Git's local mirrors of packages
# (url.*.insteadOf) are mounted as well. Needs root, buildah and debootstrap; DEBIAN_MIRROR says from where packages come.
#
# `tools/image-bases.sh FOLDER run COMMAND...` runs a command, such as `buildah images`, with that storage.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:?usage: tools/image-bases.sh FOLDER IMAGE [argument...]}"
folder=$(realpath "$1")
shift
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

# What Debian's own slim images leave out, as far as it is much.
slim() {
  find "$1/usr/share/doc" -mindepth 2 ! -type d ! -name copyright -delete
  rm -rf "$1"/usr/share/{man,info,locale,lintian} "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/log/*
}

# Renamed when it is whole.
debian() {
  [ -d "$folder/debian" ] && return
  rm -rf "$folder/debian.part"
  debootstrap --variant=minbase bookworm "$folder/debian.part" "$mirror" >"$folder/debootstrap.log" ||
    { tail "$folder/debootstrap.log" >&2; exit 1; }
  printf 'deb %s bookworm main\ndeb %s bookworm-updates main\ndeb %s-security bookworm-security main\n' "$mirror" "$mirror" "$mirror" \
    >"$folder/debian.part/etc/apt/sources.list"
  slim "$folder/debian.part"
  mv "$folder/debian.part" "$folder/debian"
}

# NAME ROOT [option of buildah config...]
base() {
  local name=$1 root=$2 container
  shift 2
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$root" / >/dev/null
  buildah config "$@" "$container"
  buildah commit --quiet --rm "$container" "$name" >/dev/null
}

storage() {
  local driver=${STORAGE_DRIVER-} container
  mkdir -p "$folder/tmp"
  # Overlays need a file system that can carry them; the plain driver copies every layer instead.
  [ -n "$driver" ] || if [ -e "$folder/driver" ]; then driver=$(<"$folder/driver"); else driver=overlay; fi
  unset STORAGE_DRIVER
  # Caches of builds are kept in the folder of temporary files.
  export CONTAINERS_STORAGE_CONF=$folder/storage.conf BUILDAH_ISOLATION=chroot TMPDIR=$folder/tmp
  printf '[storage]\ndriver = "%s"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$driver" "$folder" "$folder" >"$folder/storage.conf"
  if [ ! -e "$folder/driver" ]; then
    if container=$(buildah from scratch 2>/dev/null) && buildah mount "$container" >/dev/null 2>&1; then
      buildah rm "$container" >/dev/null
    else
      driver=vfs
      rm -rf "$folder/storage"
      sed -i 's/^driver.*/driver = "vfs"/' "$folder/storage.conf"
    fi
    echo "$driver" >"$folder/driver"
  fi
}

storage
if [ "$1" = run ]; then
  shift
  exec "$@"
fi
image=$1
shift
swift=$(realpath "$(command -v swift)")
toolchain=${swift%/usr/bin/*}
[ -x "$toolchain/usr/bin/swift-build" ] || { echo "image-bases: no toolchain at $toolchain" >&2; exit 1; }

debian
buildah inspect --type image localhost/crop-debian >/dev/null 2>&1 || base localhost/crop-debian "$folder/debian" --cmd /bin/bash \
  --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if ! buildah inspect --type image localhost/crop-swift >/dev/null 2>&1; then
  container=$(buildah from localhost/crop-debian)
  # As in the images of swift.org.
  buildah run "$container" -- sh -ec 'apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    binutils ca-certificates g++ git libc6-dev libcurl4 libedit2 libncurses6 libsqlite3-0 libxml2 pkg-config tzdata zlib1g-dev
    rm -rf /var/lib/apt/lists/*' >"$folder/swift.log" 2>&1 || { tail "$folder/swift.log" >&2; exit 1; }
  buildah config --env "PATH=$toolchain/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$container"
  buildah commit --quiet --rm "$container" localhost/crop-swift >/dev/null
fi

mounts=(--volume "$toolchain:$toolchain:ro")
: >"$folder/gitconfig"
while read -r key address; do
  git config --file "$folder/gitconfig" --add "$key" "$address"
  place=${key#url.}
  place=${place%.insteadof}
  if [ -d "$place" ]; then mounts+=(--volume "${place%/}:${place%/}:ro"); fi
done < <(git config --get-regexp '^url\..*\.insteadof$' || true)
mounts+=(--volume "$folder/gitconfig:/etc/gitconfig:ro")
mapfile -t mounts < <(printf '%s\n' "${mounts[@]}" | awk '$0 == "--volume" { getline; if (!seen[$0]++) print "--volume\n" $0 }')

ENGINE=buildah exec tools/image.sh "$image" --pull=never "${mounts[@]}" \
  --build-arg BASE_IMAGE=localhost/crop-debian --build-arg SWIFT_IMAGE=localhost/crop-swift "$@"
