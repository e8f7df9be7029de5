#!/bin/sh
# SPDX-License-Identifier: MIT
# A real `conan create`, with a Conan that is installed from PyPI below the build directory the
# first time, and keeps everything there that it otherwise keeps in the user's home.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

conan_version=2.34.0
venv=$build/tests/consumer/conan-$conan_version
if ! [ -x "$venv/bin/conan" ]; then
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv" >"$work/log" 2>&1 || skip "no python3-venv: $(cat "$work/log")"
  if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 30 \
    "conan==$conan_version" >"$work/log" 2>&1; then
    rm -rf "$venv"
    skip "Conan cannot be had from PyPI: $(tail -1 "$work/log")"
  fi
fi
export CONAN_HOME="$work/home"
conan() {
  # No remote: what the recipe needs is here, or is not tried.
  quietly "$venv/bin/conan" "$@"
}
conan profile detect
conan remote disable "*"

# An option for each component.
components=$(sed -n 's/^zcpool_component(\([a-z0-9_]*\) .*/\1/p' "$source/CMakeLists.txt" | sort)
options=$("$venv/bin/conan" inspect "$source" --format=json 2>/dev/null |
  python3 -c 'import json, sys; print("\n".join(sorted(json.load(sys.stdin)["options"])))')
[ "$options" = "$components" ] || fail "components: $components; options: $options"

# What another compiler than the one of the profile needs to know of itself.
# shellcheck disable=SC2089 # these quotes are Conan's, not the shell's
compiler="-c tools.build:compiler_executables={'cpp':'$cxx'} -s compiler.cppstd=23"
case $("$cxx" --version) in
  *clang*) compiler="$compiler -s compiler=clang -s compiler.libcxx=libstdc++11" ;;
  *) compiler="$compiler -s compiler=gcc -s compiler.libcxx=libstdc++11" ;;
esac
major=$("$cxx" -dumpversion)
create="$compiler -s compiler.version=${major%%.*} -c tools.cmake.cmaketoolchain:generator=Ninja
  -c tools.cmake.cmake_layout:test_folder=$work/test"

# refuses WORDS ARGUMENT...: the recipe must say why not.
refuses() {
  words=$1
  shift
  # shellcheck disable=SC2086,SC2090
  if "$venv/bin/conan" create "$source" $create "$@" >"$work/log" 2>&1; then
    fail "accepted: $*"
  fi
  grep -qF "$words" "$work/log" || fail "no word of \"$words\": $(cat "$work/log")"
}
refuses "lower than the required C++ standard (23)" -s compiler.cppstd=20
refuses "needs Linux" -s os=FreeBSD
refuses "needs gcc 12" -s compiler=gcc -s compiler.version=11 -s compiler.libcxx=libstdc++11

# shellcheck disable=SC2086,SC2090 # lists of words
conan create "$source" $create
grep -q "zcpool/$version" "$work/log" || fail "another version than $version: $(cat "$work/log")"
if [ -e /usr/include/liburing.h ]; then
  # shellcheck disable=SC2086,SC2090
  conan create "$here/conan/liburing" $create
  # shellcheck disable=SC2086,SC2090
  conan create "$source" $create -o "zcpool/*:uring=True"
fi
# One package for all settings and options.
conan list "zcpool/$version:*" --format=json
[ "$(grep -c '"info"' "$work/log")" -eq 1 ] || fail "more than one package: $(cat "$work/log")"
