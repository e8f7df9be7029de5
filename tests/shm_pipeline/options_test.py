# SPDX-License-Identifier: MIT
"""The command line: what cannot be is named, with its limit and a remedy."""

import os
import subprocess
import tempfile
import unittest

from support import PATIENCE, PROGRAM

HELP = {
    "run": ["--socket", "--size", "--pixels", "--slots", "--viewers", "--duration-ms",
            "--kill-test", "--seed", "--kill-within-ms", "--capacity", "--when-full", "--source",
            "--rate", "--frames", "--view-ms"],
    "broker": ["--socket", "--size", "--pixels", "--slots", "--viewers", "--duration-ms",
               "--capacity"],
    "capture": ["--socket", "--capacity", "--when-full", "--source", "--rate", "--frames"],
    "packager": ["--socket", "--capacity", "--when-full"],
    "viewer": ["--socket", "--view-ms"],
}

# Options, and what the message must say: the value, the limit or what there is, what to do.
BAD = [
    ([], ["which program?", "packager", "run"]),
    (["server"], ["server"]),
    (["run", "--size", "65535"], ["65535", "65536", "64KiB"]),
    (["run", "--size", "8388609"], ["8388609", "8388608", "8MiB"]),
    (["run", "--size", "12x"], ["12x", "256MiB"]),
    (["run", "--pixels", "100x100"], ["100x100", "16384", "128x128"]),
    (["run", "--pixels", "5000x5000"], ["5000x5000", "2097152", "2048x1024"]),
    (["run", "--pixels", "4294967297x65536"], ["4294967297x65536", "WIDTHxHEIGHT"]),
    (["run", "--pixels", "640"], ["640", "WIDTHxHEIGHT"]),
    (["run", "--pixels", "640x480", "--size", "1MiB"], ["--pixels", "--size"]),
    (["run", "--viewers", "0"], ["--viewers 0", "1 to 28", "31 processes"]),
    (["run", "--viewers", "29"], ["--viewers 29", "1 to 28", "31 processes"]),
    (["run", "--slots", "70000"], ["--slots 70000", "65536", "choose"]),
    (["run", "--capacity", "0"], ["--capacity 0", "1 to 1024", "slot"]),
    (["run", "--when-full", "panic"], ["panic", "wait", "drop-newest", "drop-oldest"]),
    (["run", "--rate", "-1"], ["--rate -1", "100000", "frames a second"]),
    (["run", "--frames", "many"], ["--frames many", "1000000000"]),
    (["run", "--view-ms", "3600001"], ["--view-ms 3600001", "3600000", "milliseconds"]),
    (["run", "--duration-ms", "x"], ["--duration-ms x", "3600000", "milliseconds"]),
    (["run", "--kill-test", "0"], ["--kill-test 0", "1 to 10000000", "200"]),
    (["run", "--kill-within-ms", "0"], ["--kill-within-ms 0", "from 1"]),
    (["run", "--seed", "-5"], ["--seed -5", "whole number"]),
    (["run", "--source", "camera"], ["camera", "synthetic", "ffmpeg:FILE", "ffmpeg:lavfi"]),
    (["run", "--source", "ffmpeg:lavfi:"], ["ffmpeg:lavfi:", "GRAPH", "testsrc"]),
    (["run", "--source", "ffmpeg:/no/such.mp4"], ["/no/such.mp4", "no such file", "lavfi"]),
    (["run", "--socket", "/tmp/" + "x" * 200], ["205 bytes", "107", "shorter"]),
    (["capture"], ["--socket", "required"]),
    (["viewer", "--socket", "s", "--kill-test"], ["--kill-test"]),
    (["packager", "--socket", "s", "--no-such-option"], ["--no-such-option"]),
]

# What only turns out when it is tried.
REFUSED = [
    (["run", "--size", "8MiB", "--slots", "65536"], ["65536 frames", "lower", "--slots"]),
    (["run", "--socket", "{there}"], ["{there}", "in use", "choose a path"]),
    (["broker", "--socket", "{nowhere}/socket"], ["{nowhere}/socket", "No such file"]),
    (["viewer", "--socket", "{there}"], ["{there}", "is a broker or a run started there?"]),
]


class Options(unittest.TestCase):
    def run_program(self, *arguments):
        return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False, timeout=60 * PATIENCE, text=True)

    def test_help(self):
        done = self.run_program("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for program, options in HELP.items():
            self.assertIn(program, done.stdout)
            with self.subTest(program):
                said = self.run_program(program, "--help")
                self.assertEqual((said.returncode, said.stderr), (0, ""))
                for option in options:
                    self.assertRegex(said.stdout, rf"\n  {option} .*\S")

    def test_what_cannot_be_is_named_with_its_limit_and_a_remedy(self):
        for options, words in BAD:
            with self.subTest(options):
                done = self.run_program(*options)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)

    def test_what_the_system_refuses_is_named_with_a_remedy(self):
        with tempfile.TemporaryDirectory() as directory:
            there = os.path.join(directory, "there")
            with open(there, "wb"):
                pass
            names = {"there": there, "nowhere": os.path.join(directory, "nowhere")}
            for options, words in REFUSED:
                with self.subTest(options):
                    done = self.run_program(*(each.format(**names) for each in options))
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertEqual(done.stdout, "")
                    for word in words:
                        self.assertIn(word.format(**names), done.stderr)
            self.assertEqual(os.listdir(directory), ["there"])


if __name__ == "__main__":
    assert PROGRAM, "SHM_PIPELINE is not set"
    unittest.main(verbosity=2)
