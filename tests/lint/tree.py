# SPDX-License-Identifier: MIT
"""The top level holds what it should, and the project refers to nothing outside its repository."""

import subprocess

import lint

TOP = {"CMakeLists.txt", "CMakePresets.json", "conanfile.py", "README.md", "LICENSE",
       "include", "tests", "benchmarks", "examples", "cmake"}
# Put together here, so that this file does not contain what it looks for.
OUTSIDE = ["../" + "shared", "/work/" + "shared", "/work/" + "main"]


def files(root):
    """What belongs to the repository; all files where there is no git."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others",
                             "--exclude-standard"], capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [root / name for name in listed.stdout.split("\0") if name]
    # An export without git, or somebody else's clone, which git does not read.
    return [path for path in root.rglob("*")
            if path.is_file() and path.relative_to(root).parts[0] not in (".git", "build")]


def check(root):
    wrong = []
    for path in sorted(files(root)):
        top = path.relative_to(root).parts[0]
        if top not in TOP and not top.startswith("."):
            wrong.append(f"{path}: `{top}` does not belong at the top level")
        if not path.is_file():
            continue  # deleted and not yet committed
        content = path.read_bytes()
        wrong += [f"{path}: refers to {place}, which is outside the repository"
                  for place in OUTSIDE if place.encode() in content]
    return wrong


CASES = [
    ("in order", {"README.md": "", "include/a.hpp": "", ".ci/run": "", "build/x": "",
                  ".gitignore": "/build/\n"}, None),
    ("a stranger", {"NOTES.md": ""}, "does not belong"),
    ("a reference", {"README.md": "see " + OUTSIDE[0]}, "outside the repository"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
