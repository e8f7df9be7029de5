#!/bin/sh
# SPDX-License-Identifier: MIT
# The one header, copied beside somebody else's source and compiled with nothing but the standard.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

quietly "$source/cmake/amalgamate" "$work/theirs"
# The same bytes again, and from sources that lie somewhere else.
mkdir "$work/elsewhere"
cp -r "$source/CMakeLists.txt" "$source/LICENSE" "$source/cmake" "$source/include" "$work/elsewhere"
quietly "$source/cmake/amalgamate" "$work/again"
(cd / && quietly "$work/elsewhere/cmake/amalgamate" "$work/third")
diff -r "$work/theirs" "$work/again" >/dev/null || fail "the second time gives other bytes"
diff -r "$work/theirs" "$work/third" >/dev/null || fail "the bytes depend on the directory"
if grep -n '#include <zcpool/' "$work/theirs"/*.hpp; then
  fail "the lines above include what the one header is instead of"
fi

# compile_and_run NAME [LINK...]: in strict ISO mode, with warnings, of which there are none.
compile_and_run() {
  name=$1
  shift
  cp "$here/$name.cpp" "$work/theirs"
  (cd "$work/theirs" && quietly "$cxx" -std=c++23 -Wall -Wextra -Wpedantic -Werror \
    -DCONSUMER_HAS_ONE_HEADER "-DCONSUMER_EXPECTS_VERSION=\"$version\"" "$name.cpp" -o "$name" "$@")
  "$work/theirs/$name" || fail "the program failed: $name"
}
compile_and_run main
if [ -e /usr/include/liburing.h ]; then
  compile_and_run uring -luring
fi
