#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh installed|subdirectory SOURCE_DIR BUILD_DIR VERSION CMAKE CXX
#
# Builds and runs the consumer in a directory of its own. Nothing of ours but the headers may reach
# it: no warning flag, no target, no test, no installed file, no second language.
set -eu

kind=$1 source=$2 build=$3 version=$4 cmake=$5 cxx=$6
here=$source/tests/consumer

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "consumer ($kind): $1" >&2
  exit 1
}

configure() {
  "$cmake" -S "$here/$kind" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
    -DEXPECTED_VERSION="$version" "$@"
}

case $kind in
  installed)
    "$cmake" --install "$build" --prefix "$work/first" >"$work/log" || fail "$(cat "$work/log")"
    # The package is used elsewhere than where it was installed: it must be relocatable.
    mv "$work/first" "$work/prefix"
    if grep -rlF -e "$source" -e "$work/first" "$work/prefix"; then
      fail "the files above name the directory that they came from"
    fi
    configure -DCMAKE_PREFIX_PATH="$work/prefix"
    # The version file must refuse a minor version that it is not.
    if configure -B "$work/refused" -DCMAKE_PREFIX_PATH="$work/prefix" -DEXPECTED_VERSION=99.0 \
      >/dev/null 2>&1; then
      fail "version 99.0 was asked for, and $version accepted"
    fi
    ;;
  subdirectory)
    configure -DZCPOOL_SOURCE="$source"
    ;;
esac

"$cmake" --build "$work/build"
"$work/build/consumer" || fail "the program failed"

flags=$(grep -rhE '^ *FLAGS = ' "$work/build/build.ninja" || :)
case $flags in
  *-W*) fail "warning flags reached the consumer: $flags" ;;
esac

if [ "$kind" = subdirectory ]; then
  objects=$(find "$work/build" -path "*/CMakeFiles/[0-9]*" -prune -o -name '*.o' -print)
  [ "$(echo "$objects" | wc -l)" -eq 1 ] || fail "more was built than the consumer: $objects"
  (cd "$work/build" && ctest -N) | grep -q '^Total Tests: 0$' || fail "tests of ours in the parent"
  if grep -q '^CMAKE_C_COMPILER' "$work/build/CMakeCache.txt"; then
    fail "the parent must have a C compiler"
  fi
  "$cmake" --install "$work/build" --prefix "$work/prefix" >/dev/null
  installed=$(cd "$work/prefix" && find . -type f)
  [ "$installed" = ./bin/consumer ] || fail "installed besides the consumer: $installed"
fi
