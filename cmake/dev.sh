#!/bin/sh
# SPDX-License-Identifier: MIT
# From a clone to a result, with one command: `sh cmake/dev.sh help` lists them. Works from any
# directory, on Debian 12 and 13, also where nothing is installed yet.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

usage() {
  cat <<'END'
usage: sh cmake/dev.sh COMMAND

  lint                        format, layers, READMEs, clang-tidy, cppcheck; builds nothing
  demo                        serve a real HLS ladder in every way there is; print one table
  test [--preset PRESET] [CTEST ARGUMENT...]
                              build with assertions and run all tests; PRESET is dev, asan, tsan,
                              clang, clang-asan or clang-tsan
  coverage                    what of the headers the tests reach; fails below 95 % of the lines or
                              85 % of the branches
  soak [SCALE]                the long runs of stress, process, lifetime and fuzz tests, and of the
                              models with deaths: SCALE times as much as in `test` (default: 10);
                              and all mutants of the models
  bench [SUITE] [--json FILE] run the benchmarks; SUITE is core, ring, sinks, serving, ipc,
                              include or all
  docs                        make the site of the documentation: build/docs/html/index.html
  chroot SUITE COMMAND...     one of these in a Debian of its own, SUITE being trixie, say; as root
  media [DIRECTORY]           only make the HLS ladder (default: build/ladder)
  help                        this text

What is missing is installed with apt-get, as root or through sudo; where neither is possible, the
command to give is printed.
END
}

# What each command needs, as Debian packages. `llhttp` stands for either package that has it.
build_packages="g++ cmake ninja-build python3 libfmt-dev libcli11-dev llhttp liburing-dev
  libasio-dev"
media_packages="ffmpeg util-linux"
drive_packages="wrk curl iproute2 procps"
docs_packages="doxygen"
test_packages="catch2 libbenchmark-dev relacy-dev strace git valgrind pkg-config python3-venv
  $docs_packages"
lint_packages="python3 git clang-format-19 shellcheck clang-19 clang-tidy-19 cppcheck liburing-dev
  libfmt-dev libasio-dev"
# Consumer tests of other compilers and processors; what is missing skips its test.
other_packages="clang-19 libc++-19-dev libc++abi-19-dev g++-aarch64-linux-gnu qemu-user"
clang_packages="clang-19 libclang-rt-19-dev"
bench_packages="libbenchmark-dev strace"
# What the benchmarks measure beside. Without one of these they say what they leave out.
peer_packages="pkg-config nginx lighttpd h2o libboost-dev libgoogle-perftools-dev libmimalloc-dev
  libjemalloc-dev libtbb-dev dpdk-dev libavutil-dev libconcurrentqueue-dev libatomic-queue-dev
  libcds-dev iceoryx libiceoryx-posh-dev"

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
    echo "dev.sh: no root; goes on without:$missing" >&2
    return 0
  fi
  $as_root apt-get -q update || true
  names=
  for package in $missing; do
    if apt-cache show "$package" >/dev/null 2>&1; then
      names="$names $package"
    else
      echo "dev.sh: there is no package $package here; goes on without" >&2
    fi
  done
  # shellcheck disable=SC2086
  [ -z "$names" ] || apt_install $names ||
    echo "dev.sh: could not be installed; goes on without:$names" >&2
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

# Puts promtool, which a test of the server's metrics asks, into PATH; from the package, which would
# otherwise start Prometheus itself.
want_promtool() {
  tools=$root/build/tools
  if ! command -v promtool >/dev/null && [ ! -x "$tools/usr/bin/promtool" ]; then
    mkdir -p "$tools"
    (cd "$tools" && apt-get -q download prometheus && dpkg -x prometheus_*.deb . &&
      rm -f prometheus_*.deb usr/bin/prometheus) ||
      echo "dev.sh: promtool cannot be had; goes on without" >&2
  fi
  PATH=$PATH:$tools/usr/bin
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
  lint)
    # shellcheck disable=SC2086
    need $lint_packages
    cd "$root"
    git ls-files -z '*.hpp' '*.cpp' | xargs -0 clang-format-19 --dry-run --Werror
    git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck
    for lint in tests/lint/*.py; do
      [ "$lint" = tests/lint/lint.py ] || python3 -B "$lint" .
    done
    python3 -B tests/model/mutants.py --include include --apply-only >/dev/null
    # One file that includes all headers, so that each is read once.
    mkdir -p build
    (cd include && printf '#include <%s>\n' zcpool/*.hpp zcpool/*/*.hpp) >build/headers.cpp
    clang-tidy-19 --quiet --config-file=.clang-tidy build/headers.cpp -- -std=c++23 -Iinclude
    cppcheck -q -j2 --enable=warning,performance,portability --std=c++20 --language=c++ \
      --suppressions-list=cmake/cppcheck.txt --error-exitcode=1 -Iinclude include/zcpool/*/*.hpp
    ;;
  test)
    preset=dev
    if [ "${1:-}" = --preset ]; then
      preset=${2:?"dev.sh: --preset wants a name"}
      shift 2
    fi
    # shellcheck disable=SC2086
    need $build_packages $media_packages $drive_packages $test_packages
    # shellcheck disable=SC2086
    case $preset in
      dev)
        want $other_packages
        want_promtool
        ;;
      clang*) need $clang_packages ;;
    esac
    build "$preset"
    cd "$root"
    # g++ 12's ThreadSanitizer cannot place its shadow where a kernel randomises more than 28 bits.
    case $preset in
      *tsan) ! setarch -R true 2>/dev/null || exec setarch -R ctest --preset "$preset" "$@" ;;
    esac
    exec ctest --preset "$preset" "$@"
    ;;
  coverage)
    # shellcheck disable=SC2086
    need $build_packages $test_packages gcovr
    build coverage
    cd "$root/build/coverage"
    find . -name '*.gcda' -delete
    (cd "$root" && ctest --preset coverage "$@")
    # A line of a template is one line; later versions want to be told.
    merge=
    ! gcovr --help | grep -q -e --merge-lines || merge=--merge-lines
    # Branches of exceptions are the compiler's, not ours. A process that was killed counts nothing.
    # shellcheck disable=SC2086 # one word or none
    exec gcovr -j 2 --root "$root" --filter "$root/include/" $merge \
      --exclude-throw-branches --exclude-unreachable-branches --gcov-ignore-parse-errors \
      --txt coverage.txt --print-summary \
      --fail-under-line 95 --fail-under-branch 85 .
    ;;
  soak)
    # shellcheck disable=SC2086
    need $build_packages $media_packages $drive_packages $test_packages
    build dev
    cd "$root"
    ZCPOOL_TEST_SCALE=${1:-10}
    ZCPOOL_FUZZ_SECONDS=$(awk "BEGIN { print int(60 * $ZCPOOL_TEST_SCALE) }")
    # Two million schedules with one death, as many with two, and with three.
    ZCPOOL_MODEL_DEATHS=$(awk "BEGIN { print int(200000 * $ZCPOOL_TEST_SCALE) }")
    export ZCPOOL_TEST_SCALE ZCPOOL_FUZZ_SECONDS ZCPOOL_MODEL_DEATHS
    # The programs themselves: ctest would end them after minutes.
    tests=build/dev/tests
    status=0
    for run in "$tests/process/zcpool_process" "$tests/stress/zcpool_stress" \
      "$tests/zcpool_tests [zerocopy]~[veth]" \
      "sh tests/support/with_veth.sh $tests/zcpool_tests [veth]" \
      "python3 -B tests/model/mutants.py --include include" \
      "$tests/fuzz/zcpool_fuzz_attach" "$tests/fuzz/zcpool_fuzz_messages" \
      "$tests/model/zcpool_model_byte_ring" "$tests/model/zcpool_model_channel" \
      "$tests/model/zcpool_model_index_ring" "$tests/model/zcpool_model_bitmap_store" \
      "$tests/model/zcpool_model_process_registry" "$tests/model/zcpool_model_pool"; do
      echo "== $run"
      # shellcheck disable=SC2086 # a command and its arguments
      $run || status=1
    done
    exit "$status"
    ;;
  bench)
    # shellcheck disable=SC2086
    need $build_packages $media_packages $drive_packages $bench_packages
    # shellcheck disable=SC2086
    want $peer_packages
    build release
    exec python3 "$root/benchmarks/run.py" --build "$root/build/release" "$@"
    ;;
  docs)
    # shellcheck disable=SC2086
    need $docs_packages
    exec sh "$root/cmake/docs/build.sh" "$root/build/docs"
    ;;
  chroot)
    need debootstrap util-linux
    find_root || {
      echo "dev.sh: chroot wants root" >&2
      exit 2
    }
    exec $as_root sh "$root/cmake/chroot.sh" "$@"
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
