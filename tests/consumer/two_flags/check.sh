#!/bin/sh
# SPDX-License-Identifier: MIT
# Files with different flags, linked to one program: what base/config.hpp says may differ, does. The
# linker keeps the first of several definitions of an inline function, so both orders are tried; and
# with g++ the whole program once with -flto, where the linker compares the types. There both files
# have RTTI: virtual tables without it have an empty place, which is a difference, if one that only
# typeid and dynamic_cast see.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

# Words that every compilation has.
common="-std=c++23 -Wall -Wextra -pthread -I$source/include"

# compile_all HURRIED [FLAG...]: the three files, into $work; HURRIED are words for one of them.
compile_all() {
  hurried=$1
  shift
  # shellcheck disable=SC2086 # a list of words
  {
    quietly "$cxx" $common "$@" -O0 -DZCPOOL_ASSERTIONS=1 -DVIEW=checked_file \
      -c "$here/two_flags/file.cpp" -o "$work/checked.o"
    quietly "$cxx" $common "$@" -O2 -DZCPOOL_ASSERTIONS=0 -fno-exceptions $hurried \
      -DVIEW=hurried_file -c "$here/two_flags/file.cpp" -o "$work/hurried.o"
    quietly "$cxx" $common "$@" -O1 -c "$here/two_flags/main.cpp" -o "$work/main.o"
  }
}

# link_and_run NAME FLAG|OBJECT...
link_and_run() {
  name=$1
  shift
  quietly "$cxx" "$@" -pthread -o "$work/program"
  "$work/program" || fail "the program failed: $name"
}

compile_all -fno-rtti
link_and_run "checked first" "$work/checked.o" "$work/hurried.o" "$work/main.o"
link_and_run "hurried first" "$work/hurried.o" "$work/checked.o" "$work/main.o"

case $("$cxx" --version) in
  *clang*) ;;
  *)
    compile_all "" -flto
    link_and_run "with -flto" -flto -Werror=odr -Werror=lto-type-mismatch \
      "$work/checked.o" "$work/hurried.o" "$work/main.o"
    ;;
esac
