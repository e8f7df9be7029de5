# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034 # the variables are for check.sh
#
# For check.sh of each road, which is called with
#   SOURCE_DIR BUILD_DIR VERSION CMAKE CXX
# and reads this file first. A road is tried in a directory of its own, $work. Nothing of ours but
# the headers may reach a consumer: no warning flag, target, test, file or second language.
set -eu

source=$1 build=$2 version=$3 cmake=$4 cxx=$5
road=$(basename "$(dirname "$0")")
here=$source/tests/consumer

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "consumer ($road): $1" >&2
  exit 1
}

skip() {
  echo "consumer ($road): skipped: $1" >&2
  exit 77
}

# quietly COMMAND...: its output only where it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
}

# configure [ARGUMENT...]: the road's own project.
configure() {
  "$cmake" -S "$here/$road" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
    -DEXPECTED_VERSION="$version" "$@"
}

# refused WORDS [ARGUMENT...]: configuring must fail, and say WORDS.
refused() {
  words=$1
  shift
  if configure -B "$work/refused" "$@" >"$work/log" 2>&1; then
    fail "accepted: $*"
  fi
  # CMake breaks lines where it likes.
  tr -s '[:space:]' ' ' <"$work/log" | grep -qF "$words" ||
    fail "no word of \"$words\": $(cat "$work/log")"
}

# install_to PREFIX [ARGUMENT...]: the library, configured with no more than that.
install_to() {
  prefix=$1
  shift
  quietly "$cmake" -S "$source" -B "$work/library" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
    -DZCPOOL_BUILD_TESTS=OFF -DZCPOOL_BUILD_BENCHMARKS=OFF -DZCPOOL_BUILD_EXAMPLES=OFF "$@"
  quietly "$cmake" --install "$work/library" --prefix "$prefix"
}

# move_prefix FROM TO: packages are used elsewhere than where they were installed.
move_prefix() {
  mv "$1" "$2"
  # Not "$source" alone: that may be short, as /zcpool, and a part of what is installed.
  if grep -rlF -e "$source/include" -e "$source/cmake" -e "$work/library" -e "$1" "$2"; then
    fail "the files above name the directory that they came from"
  fi
}

# build_and_run: what configure() made.
build_and_run() {
  "$cmake" --build "$work/build"
  "$work/build/consumer" || fail "the program failed"
  flags=$(grep -rhE '^ *FLAGS = ' "$work/build/build.ninja" || :)
  case $flags in
    *-W*) fail "warning flags reached the consumer: $flags" ;;
  esac
}

# nothing_of_ours: the parent's build has the consumer and no more.
nothing_of_ours() {
  objects=$(find "$work/build" -path "*/CMakeFiles/[0-9]*" -prune -o -name '*.o' -print)
  [ "$(echo "$objects" | wc -l)" -eq 1 ] || fail "more was built than the consumer: $objects"
  (cd "$work/build" && ctest -N) | grep -q '^Total Tests: 0$' || fail "tests of ours in the parent"
  if grep -q '^CMAKE_C_COMPILER' "$work/build/CMakeCache.txt"; then
    fail "the parent must have a C compiler"
  fi
  "$cmake" --install "$work/build" --prefix "$work/prefix" >/dev/null
  installed=$(cd "$work/prefix" && find . -type f)
  [ "$installed" = ./bin/consumer ] || fail "installed besides the consumer: $installed"
}
