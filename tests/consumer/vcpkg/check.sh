#!/bin/sh
# SPDX-License-Identifier: MIT
# The overlay port. vcpkg itself is not here: its manifest is checked for what it must say, and its
# portfile run with stand-ins for vcpkg's functions. What comes out is used as the usage file says.
# shellcheck source=../common.sh
. "$(dirname "$0")/../common.sh"

command -v pkg-config >/dev/null || skip "no pkg-config"
port=$source/cmake/vcpkg/ports/zcpool

# run_port FEATURES: "core", and those that were chosen, as vcpkg has them.
run_port() {
  quietly "$cmake" -DPORT_DIR="$port" -DPACKAGES_DIR="$work/packages" -DCXX="$cxx" \
    "-DFEATURES=$1" -P "$here/vcpkg/run_portfile.cmake"
}
run_port "core;uring"
[ -e "$work/packages/share/pkgconfig/zcpool-uring.pc" ] ||
  fail "the feature has no pkg-config module"
rm -r "$work/packages"
run_port core

python3 -B - "$port" "$version" "$work/packages" <<'END'
import json, pathlib, re, sys

port, version, packages = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
manifest = json.loads((port / "vcpkg.json").read_text())
components = re.search(r"^set\(zcpool_components (.*)\)",
                       (packages / "share/zcpool/zcpool-config.cmake").read_text(), re.MULTILINE)
found = sorted(components[1].replace(";", " ").split())
assert manifest["version-semver"] == version, "vcpkg.json has another version"
assert sorted(manifest["features"]) == found, f"the features are not the components: {found}"
assert all(feature["description"] and feature["dependencies"]
           for feature in manifest["features"].values()), "a feature without dependency"
# What vcpkg complains of after a build.
for wanted in ("share/zcpool/copyright", "share/zcpool/usage", "include/zcpool/zcpool.hpp"):
    assert (packages / wanted).is_file(), f"no {wanted}"
for unwanted in ("debug", "lib", "bin", "share/cmake", "share/licenses"):
    assert not (packages / unwanted).exists(), f"{unwanted} is there"
empty = [str(path) for path in packages.rglob("*") if path.is_dir() and not any(path.iterdir())]
assert not empty, f"empty directories: {empty}"
END

move_prefix "$work/packages" "$work/installed"
configure -DCMAKE_PREFIX_PATH="$work/installed"
build_and_run
