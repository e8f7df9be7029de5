# SPDX-License-Identifier: MIT
"""Runs examples/calibrate for a few seconds, reads its tables, and compiles what is to be pasted.
What it measures is not looked at: machines are noisy."""

import os
import re
import subprocess
import tempfile
import unittest

CALIBRATE = os.environ["CALIBRATE"]
SIZES = ["4 KiB", "16 KiB", "64 KiB", "256 KiB", "1 MiB"]
WAYS = ["write again", "sendfile", "splice", "vmsplice", "zerocopy", "uring", "fresh sendfile"]
CELL = re.compile(r"^(-|\d+\.\d\d[<>=~]?)$")


def run(*arguments, timeout=90):
    return subprocess.run([CALIBRATE, *arguments], capture_output=True, text=True, check=False,
                          timeout=timeout)


def tables(text):
    """The tables by the name of their path: a list of rows, each a list of cells."""
    found, name = {}, None
    for before, line in zip([""] + text.splitlines(), text.splitlines()):
        if line.startswith("size "):
            name = before
            found[name] = []
        elif name and re.match(r"\d+ [KM]iB ", line):
            found[name].append(re.split(r"\s{2,}", line.strip()))
        else:
            name = name if line and name and not found[name] else None
    return found


class Calibrate(unittest.TestCase):
    def check_options(self, text, suffixes):
        paste = text.split("To paste:\n", 1)[1]
        for suffix in suffixes:
            for name in ("automatic", "sendfile", "splice", "vmsplice"):
                self.assertRegex(paste,
                                 rf"_options {name}_{suffix}{{\.copy_below = (\d+|SIZE_MAX), "
                                 r"\.(copies_first|lend_after) = [1-9]\d*")
        with tempfile.TemporaryDirectory() as directory:
            source = os.path.join(directory, "pasted.cpp")
            with open(source, "w", encoding="ascii") as file:
                file.write(paste + "\nint main() {}\n")
            done = subprocess.run([os.environ["CXX"], "-std=c++23", "-Wall", "-Wextra", "-Werror",
                                   "-fsyntax-only", "-I", os.environ["INCLUDE"], source],
                                  capture_output=True, text=True, check=False, timeout=90)
            self.assertEqual(done.returncode, 0, done.stderr)

    def check_tables(self, text, paths):
        found = tables(text)
        self.assertEqual(len(found), len(paths), text)
        for name, path in zip(found, paths):
            self.assertTrue(name.startswith(path), name)
            self.assertEqual([each[0] for each in found[name]], SIZES)
            for each in found[name]:
                self.assertEqual(len(each), 3 + len(WAYS), each)
                self.assertRegex(each[1], r"^(-|\d+\.\d{3})$")
                for cell in each[2:-1]:
                    self.assertRegex(cell, CELL)
                self.assertRegex(each[-1], r"^(-|\d+)$")
        for way in WAYS:
            self.assertIn(way, text)
        return found

    def test_tables_and_options(self):
        done = run("--quick", "--seconds", "5")
        self.assertEqual(done.returncode, 0, done.stderr)
        found = self.check_tables(done.stdout, ["TCP over loopback", "AF_UNIX"])
        for each in found[[name for name in found if name.startswith("AF_UNIX")][0]]:
            self.assertEqual(each[6:8], ["-", "-"], "nothing goes by reference over AF_UNIX")
        self.check_options(done.stdout, ["loopback", "unix"])

    def test_too_few_rounds_are_no_decision(self):
        done = run("--quick", "--seconds", "0.1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_tables(done.stdout, ["TCP over loopback", "AF_UNIX"])
        self.assertEqual(done.stdout.count("too noisy to decide"), 2)
        self.assertIn("// Undecided at a size that matters", done.stdout)
        self.check_options(done.stdout, ["loopback", "unix"])

    def test_a_peer_that_discards(self):
        with subprocess.Popen([CALIBRATE, "--discard", "0"], stdout=subprocess.PIPE,
                              text=True) as peer:
            try:
                port = int(re.search(r"port (\d+)$", peer.stdout.readline()).group(1))
                done = run("--quick", "--seconds", "4", "--to", f"127.0.0.1:{port}")
            finally:
                peer.terminate()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_tables(done.stdout, ["TCP over loopback", "AF_UNIX", "TCP to 127.0.0.1"])
        self.check_options(done.stdout, ["loopback", "unix", "remote"])

    def test_what_cannot_be_is_said(self):
        for arguments, code in ((("--to", "nowhere"), 1), (("--to", "127.0.0.1:1"), 1),
                                (("--discard", "70000"), 2), (("--seconds", "0"), 2)):
            done = run("--quick", "--seconds", "0.1", *arguments) \
                if arguments[0] != "--seconds" else run(*arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertTrue(done.stderr.startswith("calibrate: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
