# SPDX-License-Identifier: MIT
"""The command line: what cannot be is named, with its limit and a remedy."""

import resource
import socket
import subprocess
import unittest

from support import PATIENCE, PROGRAM, Peer, Relay

# Options, and what the message must say: the value, the limit or what there is, what to do.
BAD = [
    ([], ["--to", "required"]),
    (["--to", "127.0.0.1"], ["127.0.0.1", "HOST:PORT", "127.0.0.1:8080"]),
    (["--to", "127.0.0.1:0"], ["127.0.0.1:0", "from 1 to 65535"]),
    (["--to", ":80"], [":80", "HOST:PORT"]),
    (["--to", "127.0.0.1:70000"], ["70000", "65535"]),
    (["--to", "no.such.host.invalid:80"], ["no.such.host.invalid", "resolves"]),
    (["--to", "{free}", "--listen", "99999"], ["99999", "65535"]),
    (["--to", "{free}", "--listen", "203.0.113.7:80"], ["203.0.113.7:80", "another port, or 0"]),
    (["--to", "{free}", "--listen", "{taken}"], ["{taken}", "in use", "another port, or 0"]),
    (["--to", "{free}", "--loop", "select"], ["select", "epoll"]),
    (["--to", "{free}", "--max-connections", "0"], ["--max-connections 0", "1 to 1000000"]),
    (["--to", "{free}", "--max-connections", "100000"], ["100000", "open files", "ulimit"]),
    (["--to", "{free}", "--connection-bytes", "4096"], ["4096", "8192", "8KiB"]),
    (["--to", "{free}", "--connection-bytes", "12x"], ["12x", "256MiB"]),
    (["--to", "{free}", "--pool-bytes", "1"], ["--pool-bytes 1", "1048576", "1MiB"]),
    (["--to", "{free}", "--pool-bytes", "999999GiB"], ["999999GiB", "limit", "memory"]),
    (["--to", "{free}", "--inspect", "--pool-bytes", "1MiB", "--connection-bytes", "2MiB"],
     ["2097152", "1048576", "--pool-bytes"]),
    (["--to", "{free}", "--idle-timeout-ms", "1"], ["--idle-timeout-ms 1", "from 10"]),
    (["--to", "{free}", "--no-such-option"], ["--no-such-option"]),
]


class Options(unittest.TestCase):
    def run_program(self, *arguments):
        return subprocess.run(
            [PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=20 * PATIENCE, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)))

    def test_help(self):
        done = self.run_program("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--listen", "--to", "--inspect", "--loop", "--max-connections",
                       "--connection-bytes", "--pool-bytes", "--idle-timeout-ms", "--stats"):
            self.assertIn(option, done.stdout)

    def test_what_cannot_be_is_named_with_its_limit_and_a_remedy(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            names = {"taken": f"127.0.0.1:{taken.getsockname()[1]}", "free": "127.0.0.1:9"}
            for options, words in BAD:
                with self.subTest(options):
                    arguments = [each.format(**names) for each in options]
                    if "--listen" not in arguments:
                        arguments += ["--listen", "127.0.0.1:0"]
                    done = self.run_program(*arguments)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertEqual(done.stdout, "")
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    for word in words:
                        self.assertIn(word.format(**names), done.stderr)

    def test_a_port_alone_listens_at_all_addresses(self):
        done = subprocess.Popen([PROGRAM, "--listen", "0", "--to", "127.0.0.1:9"],
                                stdout=subprocess.PIPE, text=True)
        try:
            self.assertRegex(done.stdout.readline(), r"^ready 0\.0\.0\.0:\d+\n$")
        finally:
            done.terminate()
            self.assertEqual(done.wait(timeout=10 * PATIENCE), 0)
            done.stdout.close()

    def test_statistics_come_by_themselves(self):
        with Peer() as peer, Relay(peer.address, "--stats", "50") as relay:
            for _ in range(3):
                self.assertTrue(relay.read_line().startswith("statistics open=0 "))


if __name__ == "__main__":
    assert PROGRAM, "RELAY is not set"
    unittest.main(verbosity=2)
