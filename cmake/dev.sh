#!/bin/sh
# SPDX-License-Identifier: MIT
# From a clone to a result, with one command: `sh cmake/dev.sh help` lists them. Works from any
# directory, on Debian 12 and 13, also where nothing is installed yet.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

usage() {
  cat <<'END'
usage: sh cmake/dev.sh COMMAND

  demo                        serve a real HLS ladder in every way there is; print one table
  test [CTEST ARGUMENT...]    build with assertions and run all tests
  bench [SUITE] [--json FILE] run the benchmarks; SUITE is core, ring, sinks, serving, ipc or all
  media [DIRECTORY]           only make the HLS ladder (default: build/ladder)
  help                        this text

What is missing is installed with apt-get, as root or through sudo; where neither is possible, the
command to give is printed.
END
}

# What each command needs, as Debian packages. `llhttp` stands for either package that has it.
build_packages="g++ cmake ninja-build python3 libfmt-dev libcli11-dev llhttp liburing-dev"
media_packages="ffmpeg util-linux"
drive_packages="wrk curl iproute2 procps"
test_packages="catch2 libbenchmark-dev relacy-dev strace git valgrind"
bench_packages="libbenchmark-dev strace"
# What the benchmarks measure beside. Without one of these they say what they leave out.
peer_packages="pkg-config nginx lighttpd h2o libboost-dev libgoogle-perftools-dev libmimalloc-dev
  libjemalloc-dev libtbb-dev dpdk-dev libavutil-dev libconcurrentqueue-dev libatomic-queue-dev
  libcds-dev"

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The name of llhttp here: Debian 13 has a library, Debian 12 only the sources in a package of node.
resolve() {
  if [ "$1" != llhttp ]; then
    echo "$1"
  elif apt-cache show libllhttp-dev >/dev/null 2>&1; then
    echo libllhttp-dev
  else
    echo node-llhttp
  fi
}

# need PACKAGE...: installs what is missing, or says how to and gives up.
need() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "dev.sh: this is no Debian, so what is needed was not checked: $*" >&2
    return
  fi
  missing=
  for package; do
    case $package in
      llhttp) is_installed libllhttp-dev || is_installed node-llhttp || missing="$missing llhttp" ;;
      *) is_installed "$package" || missing="$missing $package" ;;
    esac
  done
  [ -n "$missing" ] || return 0

  if ! find_root; then
    names=
    for package in $missing; do
      names="$names $(resolve "$package")"
    done
    echo "dev.sh: packages are missing, and this user may not install them. Please run:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$names" >&2
    exit 2
  fi
  # The lists first: a fresh machine has none, and which llhttp there is stands in them.
  $as_root apt-get -q update
  names=
  for package in $missing; do
    names="$names $(resolve "$package")"
  done
  # shellcheck disable=SC2086 # a list of words
  apt_install $names
}

# want PACKAGE...: as need, but what cannot be had is named, and no reason to give up.
want() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || return 0
  missing=
  for package; do
    is_installed "$package" || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  if ! find_root; then
    echo "dev.sh: without root the benchmarks go on without:$missing" >&2
    return 0
  fi
  $as_root apt-get -q update || true
  names=
  for package in $missing; do
    if apt-cache show "$package" >/dev/null 2>&1; then
      names="$names $package"
    else
      echo "dev.sh: there is no package $package here; the benchmarks go on without" >&2
    fi
  done
  # shellcheck disable=SC2086
  [ -z "$names" ] || apt_install $names ||
    echo "dev.sh: could not be installed; the benchmarks go on without:$names" >&2
}

# Sets as_root to what a command of root's begins with; false where there is no such thing.
find_root() {
  if [ "$(id -u)" -eq 0 ]; then
    as_root=
  elif sudo -n true 2>/dev/null; then
    as_root=sudo
  else
    return 1
  fi
}

# apt_install PACKAGE...: after find_root.
apt_install() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 install -y \
    --no-install-recommends "$@"
}

# build PRESET [ARGUMENT...]: configures, and builds with the arguments.
build() {
  preset=$1
  shift
  (cd "$root" && cmake --preset "$preset" && cmake --build --preset "$preset" "$@")
}

command=${1:-help}
[ $# -eq 0 ] || shift

case $command in
  demo)
    # shellcheck disable=SC2086 # lists of words
    need $build_packages $media_packages $drive_packages libbenchmark-dev
    build release --target segment_server
    sh "$root/cmake/ladder.sh" "$root/build/ladder"
    exec python3 "$root/examples/demo/demo.py" --build "$root/build/release" "$@"
    ;;
  test)
    # shellcheck disable=SC2086
    need $build_packages $media_packages $drive_packages $test_packages
    build dev
    cd "$root"
    exec ctest --preset dev "$@"
    ;;
  bench)
    # shellcheck disable=SC2086
    need $build_packages $media_packages $drive_packages $bench_packages
    # shellcheck disable=SC2086
    want $peer_packages
    build release
    exec python3 "$root/benchmarks/run.py" --build "$root/build/release" "$@"
    ;;
  media)
    # shellcheck disable=SC2086
    need $media_packages
    exec sh "$root/cmake/ladder.sh" "${1:-$root/build/ladder}"
    ;;
  help | -h | --help)
    usage
    ;;
  *)
    echo "dev.sh: no command \`$command\`" >&2
    usage >&2
    exit 2
    ;;
esac
