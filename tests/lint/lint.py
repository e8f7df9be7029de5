# SPDX-License-Identifier: MIT
"""What the lints share: finding files, and the examples that each must refuse to be believed."""

import pathlib
import sys
import tempfile


def headers(root):
    """The library's headers, as (path, path relative to include/zcpool), sorted."""
    base = root / "include" / "zcpool"
    return [(path, path.relative_to(base)) for path in sorted(base.rglob("*.hpp"))]


def read(path):
    return path.read_text(encoding="utf-8")


def self_test(check, cases):
    """Runs `check` over small trees. A case is (name, {path: text}, word expected, or None)."""
    wrong = []
    for name, files, word in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            found = check(root)
        if word is None and found:
            wrong.append(f"self-test `{name}`: refuses what is right: {found}")
        if word is not None and not any(word in complaint for complaint in found):
            wrong.append(f"self-test `{name}`: does not complain of `{word}`, but: {found}")
    return wrong


def main(check, cases):
    """usage: LINT.py ROOT. Prints each complaint; exits 1 if there is one."""
    wrong = self_test(check, cases) or check(pathlib.Path(sys.argv[1]))
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    sys.exit(1 if wrong else 0)
