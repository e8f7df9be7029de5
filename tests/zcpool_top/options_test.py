# SPDX-License-Identifier: MIT
"""The command line: what cannot be is named, with its limit and a remedy."""

import unittest

from support import PROGRAM, run

# Options, and what the message must say: the value, the limit or what there is, what to do.
BAD = [
    (["0"], ["PID 0", "from 1 to 4194304", "lists the processes"]),
    (["abc"], ["PID abc", "from 1 to 4194304"]),
    (["--pid", "4194305"], ["PID 4194305", "4194304"]),
    (["--pid", "99999999999999999999"], ["99999999999999999999", "4194304"]),
    (["--pid", "-7"], ["-7"]),
    (["1", "--interval", "0"], ["--interval 0", "from 0.1 to 3600", "0.5"]),
    (["1", "--interval", "0.09"], ["--interval 0.09", "from 0.1"]),
    (["1", "--interval", "3601"], ["--interval 3601", "3600"]),
    (["1", "--interval", "nan"], ["--interval nan", "from 0.1"]),
    (["1", "--interval", "1s"], ["--interval 1s", "write 1 or 0.5"]),
    (["1", "--count", "0"], ["--count 0", "1 to 1000000000", "leave it out"]),
    (["1", "--count", "2", "--once"], ["--count", "--once"]),
    (["1", "2"], ["2"]),
    (["--no-such-option"], ["--no-such-option"]),
]


class Options(unittest.TestCase):
    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--pid", "--interval", "--once", "--count", "--json"):
            self.assertIn(option, done.stdout)

    def test_what_cannot_be_is_named_with_its_limit_and_a_remedy(self):
        for options, words in BAD:
            with self.subTest(options):
                done = run(*options)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)

    def test_nobodys_process_is_an_error_with_a_remedy(self):
        done = run("--pid", "4194304", "--once")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("PID 4194304: there is no such process", done.stderr)
        self.assertIn("without a PID lists", done.stderr)

    def test_a_list_is_shown_once_unless_more_are_asked_for(self):
        for arguments, looks in (((), 1), (("--once",), 1),
                                 (("--count", "2", "--interval", "0.1"), 2)):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout.count("INODE")), (0, looks))


if __name__ == "__main__":
    assert PROGRAM, "ZCPOOL_TOP is not set"
    unittest.main(verbosity=2)
