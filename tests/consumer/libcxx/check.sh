#!/bin/sh
# SPDX-License-Identifier: MIT
# clang with its own standard library.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

clang=$(command -v clang++-19 || command -v clang++) || skip "no clang++"
compile() {
  "$clang" -stdlib=libc++ -std=c++23 -Wall -Wextra -Werror -I"$source/include" -pthread "$@" \
    -DCONSUMER_EXPECTS_VERSION="\"$version\"" "$here/main.cpp" -o "$work/program"
}
echo '#include <version>' |
  "$clang" -stdlib=libc++ -xc++ -fsyntax-only - 2>/dev/null || skip "no libc++"

if ! compile -O1 2>"$work/log"; then
  grep -q 'error: "zcpool needs .*-fexperimental-library' "$work/log" || fail "$(cat "$work/log")"
  quietly compile -O1 -fexperimental-library
fi
"$work/program" || fail "the program failed"
