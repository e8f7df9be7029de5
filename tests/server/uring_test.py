# SPDX-License-Identifier: MIT
"""io_uring where it is to be had, and where it is forbidden: said, and served all the same."""

import os
import subprocess
import sys
import unittest

from support import HAS_URING, PROGRAM, URING_IS_BUILT, Case, Server, eventually, main

WITHOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "without_io_uring.py")
REASONS = {"EPERM": "Operation not permitted", "ENOSYS": "Function not implemented"}


@unittest.skipUnless(URING_IS_BUILT, "built without liburing")
class Uring(Case):
    def setUp(self):
        super().setUp()
        self.content = os.urandom(3_000_000)
        self.write("big.ts", self.content)

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_large_slices_go_by_reference(self):
        with Server(self.directory, "--sink", "uring", threads=1) as server:
            for _ in range(10):
                self.assertTrue(server.get("/big.ts").body == self.content)
            metrics = server.metrics()
            self.assertEqual(metrics['info{mode="pool",sink="uring",threads="1"}'], 1)
            self.assertGreater(metrics["sink_lent_bytes_total"], 9 * len(self.content))
            self.assertFalse([name for name in metrics if name.startswith("substitutions")])
            self.assertEqual(server.error_text(), "")

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_what_is_in_flight_is_let_go_when_the_peer_has_gone(self):
        options = ["--sink", "uring", "--pool-bytes", "8MiB", "--send-timeout-ms", "300"]
        with Server(self.directory, *options, threads=1) as server:
            with server.connect(receive_buffer=4096) as client:
                client.sendall(b"GET /big.ts HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
                self.assertTrue(client.recv(100))
                self.assertTrue(eventually(lambda: server.metrics()["send_timeouts_total"] == 1))
            os.remove(os.path.join(self.directory, "big.ts"))
            self.assertEqual(server.get("/big.ts").status, 404)
            used = 'pool_slots_in_use{class="1048576"}'
            self.assertTrue(eventually(lambda: server.metrics()[used] == 0))

    def test_where_it_is_forbidden_another_way_serves_and_is_named(self):
        for code, reason in REASONS.items():
            wrapper = [sys.executable, "-B", WITHOUT, code]
            with self.subTest(code), Server(
                    self.directory, "--sink", "uring", wrapper=wrapper) as server:
                self.assertTrue(server.get("/big.ts").body == self.content)
                metrics = server.metrics()
                self.assertEqual(metrics['info{mode="pool",sink="write",threads="2"}'], 1)
                self.assertEqual(metrics[f'substitutions{{option="sink",asked="uring",used="write",'
                                         f'reason="{reason}"}}'], 1)
                said = server.error_text()
                for word in ("--sink uring", reason, "write"):
                    self.assertIn(word, said)
                self.assertEqual(len(said.splitlines()), 1, said)


class WithoutLiburing(Case):
    @unittest.skipIf(URING_IS_BUILT, "built with liburing")
    def test_the_option_is_refused_with_a_remedy(self):
        done = subprocess.run([PROGRAM, "--root", self.directory, "--sink", "uring"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "--sink.*uring.*this build has no io_uring.*liburing-dev")


if __name__ == "__main__":
    main()
