# SPDX-License-Identifier: MIT
"""Each C++ example of a document is, word for word, a part of a program that the tests run.

In the program it stands between `// [snippet: DOCUMENT]` and `// [/snippet]`, where DOCUMENT is the
path of the Markdown file that shows it; it may be indented there. What no program can have is told
in the line before the block: `<!-- not run: why -->`.
"""

import difflib
import re
import textwrap

import lint

# Each source file here is a program that ctest runs (tests/docs/CMakeLists.txt and
# examples/CMakeLists.txt).
PROGRAMS = ("tests/docs/*.cpp", "examples/readme.cpp", "examples/adapt/*.cpp")
FOLDERS = ("include", "cmake", "examples", "tests", "benchmarks")

BLOCK = re.compile(r"(^<!-- not run: \S[^\n]*-->\n)?^```(?:cpp|c\+\+|cc)\n(.*?)^```",
                   re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r"^[ \t]*// \[snippet: (\S+)\]\n(.*?)^[ \t]*// \[/snippet\]$",
                     re.MULTILINE | re.DOTALL)
MARK = re.compile(r"//\s*\[/?snippet")


def documents(root):
    yield from sorted(root.glob("*.md"))
    for folder in FOLDERS:
        yield from sorted((root / folder).rglob("*.md"))


def snippets(root):
    """Those of all programs: {document: [text]}, and complaints about marks."""
    found, wrong = {}, []
    for pattern in PROGRAMS:
        for path in sorted(root.glob(pattern)):
            text = lint.read(path)
            marked = SNIPPET.findall(text)
            if 2 * len(marked) != len(MARK.findall(text)):
                wrong.append(f"{path}: a mark of a snippet without its partner")
            for document, part in marked:
                if not (root / document).is_file():
                    wrong.append(f"{path}: a snippet of {document}, which does not exist")
                found.setdefault(document, []).append(textwrap.dedent(part))
    return found, wrong


def difference(shown, run):
    """The first lines in which two texts differ; the nearest of several is taken."""
    nearest = max(run, key=lambda each: difflib.SequenceMatcher(None, shown, each).ratio())
    lines = difflib.unified_diff(nearest.splitlines(), shown.splitlines(), "run", "shown", n=0,
                                 lineterm="")
    return "\n    ".join(list(lines)[2:8])


def check(root):
    run, wrong = snippets(root)
    for path in documents(root):
        name = path.relative_to(root).as_posix()
        text = lint.read(path)
        left = list(run.get(name, []))
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(2))
            if match[1]:
                continue
            if match[2] in left:
                left.remove(match[2])
            elif not run.get(name):
                wrong.append(f"{path}:{line}: no program has this example; see tests/docs")
            else:
                wrong.append(f"{path}:{line}: differs from what is run:\n    "
                             + difference(match[2], run[name]))
        wrong += [f"{path}: does not show the snippet that begins `{part.splitlines()[0]}`"
                  for part in left]
    return wrong


PROGRAM = ("int main() {\n    // [snippet: README.md]\n    a();\n\n        b();\n"
           "    // [/snippet]\n}\n")
SHOWN = "x\n```cpp\na();\n\n    b();\n```\n"

CASES = [
    ("equal", {"README.md": SHOWN, "tests/docs/a.cpp": PROGRAM}, None),
    ("told why not", {"README.md": "<!-- not run: it is a picture -->\n```cpp\nc\n```\n"}, None),
    ("different", {"README.md": "```cpp\na();\n```\n", "tests/docs/a.cpp": PROGRAM}, "differs"),
    ("of another document", {"README.md": SHOWN, "cmake/docs/b.md": SHOWN,
                             "tests/docs/a.cpp": PROGRAM}, "no program has"),
    ("shown once more", {"README.md": SHOWN + "```cpp\nc();\n```\n",
                         "tests/docs/a.cpp": PROGRAM}, "differs"),
    ("in a file that nobody runs", {"README.md": SHOWN, "tests/base/a.cpp": PROGRAM},
     "no program has"),
    ("not shown", {"README.md": "", "tests/docs/a.cpp": PROGRAM}, "does not show"),
    ("no document", {"tests/docs/a.cpp": PROGRAM}, "does not exist"),
    ("no end", {"README.md": SHOWN, "tests/docs/a.cpp": PROGRAM.replace("[/snippet]", "")},
     "without its partner"),
    ("no reason", {"README.md": "<!-- not run: -->\n```cpp\nc\n```\n"}, "no program has"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
