#!/bin/sh
# SPDX-License-Identifier: MIT
# FetchContent, which clones a repository: one that is made here, of the files as they are now, so
# that the test also works in an export without git, and of what is not committed yet.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

command -v git >/dev/null || skip "no git"
mkdir "$work/repository"
cp -r "$source/CMakeLists.txt" "$source/LICENSE" "$source/cmake" "$source/include" \
  "$work/repository"
# What a parent must not reach: these fail where they are read.
for folder in tests benchmarks examples; do
  mkdir "$work/repository/$folder"
  echo 'message(FATAL_ERROR "read by a parent")' >"$work/repository/$folder/CMakeLists.txt"
done
git_here() {
  quietly git -C "$work/repository" -c user.name=consumer -c user.email=consumer@localhost "$@"
}
git_here init
git_here add .
git_here commit -m "as it is"

configure -DZCPOOL_REPOSITORY="file://$work/repository" \
  -DZCPOOL_COMMIT="$(git -C "$work/repository" rev-parse HEAD)"
build_and_run
nothing_of_ours
