#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the site of zcpool with Doxygen: `sh cmake/docs/build.sh DIRECTORY` puts it into
# DIRECTORY/html. Fails at every warning; ends with 77 where there is no Doxygen.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
mkdir -p "${1:?usage: sh cmake/docs/build.sh DIRECTORY}"
site=$(CDPATH='' cd -- "$1" && pwd)

command -v doxygen >/dev/null || {
  echo "build.sh: there is no doxygen here (Debian: apt-get install doxygen)" >&2
  exit 77
}

cd "$root"
(
  cat cmake/docs/Doxyfile
  echo "OUTPUT_DIRECTORY = $site"
  echo "WARN_LOGFILE = $site/warnings"
) | doxygen -

# A name that says it all needs no comment that repeats it. So what Doxygen may miss are members of
# a class or struct that are data, types, questions without an argument, copies and moves, and what
# overrides; not what does something, nor classes, functions and constants of the namespace. The
# members of sys::kernel and atomic are those of the kernel and of std::atomic. And it stumbles over
# a specialisation of a template that it has not seen.
sed -E \
  -e '/: Member [^( ]+ \((variable|typedef)\) of (class|struct) .* is not documented/d' \
  -e '/: Member [^(]+\(\) const[^(]*\(function\) of (class|struct) .* is not documented/d' \
  -e '/: Member operator[^ ]*\(.*\(function\) of (class|struct) .* is not documented/d' \
  -e '/: Member ([a-z_0-9]+)\((const )?\1 &&?[a-z]*\).*\(function\) of .* is not documented/d' \
  -e '/ of (class|struct) zcpool::(sys::kernel|atomic) is not documented/d' \
  -e '/: Member operator==.*\(friend\) of .* is not documented/d' \
  -e '/: Member [^ ]*\)\(.*\(variable\) of (class|struct) .* is not documented/d' \
  -e '/: Member .* override \(function\) of .* is not documented/d' \
  -e '/Internal inconsistency: scope for class std::/d' \
  -e '/^$/d' "$site/warnings" | sort -u >"$site/complaints"
if [ -s "$site/complaints" ]; then
  cat "$site/complaints" >&2
  exit 1
fi
echo "$site/html/index.html"
