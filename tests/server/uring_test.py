# SPDX-License-Identifier: MIT
"""io_uring where it is to be had, and where it is forbidden: said, and served all the same."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

from support import (HAS_URING, PROGRAM, SINKS, URING_IS_BUILT, Case, Reader, Server, eventually,
                     main, make_request)

WITHOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "without_io_uring.py")
REGISTER_PROVIDED_BUFFERS = 22
REGISTER_FILES2 = 13
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
            self.assertEqual(metrics['info{mode="pool",sink="uring",loop="epoll",threads="1"}'],
                             1)
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

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_a_turn_of_the_loop_is_one_system_call(self):
        # 64 requests that are there at the same time are received, and with this sink answered, by
        # a few calls; with epoll it takes two for each.
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        self.write("small.ts", b"x" * 1000)
        trace = os.path.join(self.directory, "trace")
        options = ["--loop", "uring", "--sink", "uring"]
        # LeakSanitizer gives up under strace.
        wrapper = ["strace", "-f", "-qq", "-o", trace, "-e", "signal=none",
                   "-E", "LSAN_OPTIONS=detect_leaks=0"]
        with Server(self.directory, *options, threads=1, wrapper=wrapper) as server:
            clients = [server.connect() for _ in range(64)]
            try:
                for turn in range(10):
                    os.kill(server.pid, signal.SIGSTOP)
                    for client in clients:
                        client.sendall(make_request("/small.ts"))
                    if turn == 9:
                        os.truncate(trace, 0)
                    os.kill(server.pid, signal.SIGCONT)
                    for client in clients:
                        self.assertEqual(len(Reader(client).response().body), 1000)
                with open(trace, encoding="ascii", errors="replace") as file:
                    calls = [line for line in file.read().replace("\0", "").splitlines()
                             if re.match(r"\d+ +[a-z]", line)]
            finally:
                for client in clients:
                    client.close()
        self.assertTrue(1 <= len([each for each in calls if "io_uring_enter" in each]) < 32, calls)
        for name in ("recv", "send", "epoll", "accept"):
            self.assertFalse([each for each in calls if name in each], name)

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_a_pool_that_may_not_be_registered_is_named_and_sent_from_all_the_same(self):
        # Root is above the limit as long as it has the capability.
        drop = ["setpriv", "--bounding-set=-ipc_lock"] if os.getuid() == 0 else []
        wrapper = [*drop, "prlimit", f"--memlock={1 << 20}:{1 << 20}"]
        for loop in ("epoll", "uring"):
            options = ["--sink", "uring", "--loop", loop, "--pool-bytes", "16MiB"]
            with self.subTest(loop), Server(self.directory, *options, wrapper=wrapper) as server:
                self.assertTrue(server.get("/big.ts").body == self.content)
                metrics = server.metrics()
                self.assertEqual(
                    metrics['substitutions{option="sink",asked="uring, registered",used="uring",'
                            'reason="Cannot allocate memory"}'], 1)
                self.assertRegex(server.error_text(),
                                 f"registering .* refused .*{1 << 20} bytes.*ulimit -l")

    def skip_where_a_request_receives_once(self, server):
        if any("one receive a connection" in name for name in server.metrics()):
            self.skipTest(server.error_text())

    def receive_calls_for(self, server, requests):
        """System calls and requests to receive that so many requests on a connection cost."""
        with server.connect() as client:
            client.sendall(make_request("/small.ts"))
            reader = Reader(client)
            self.assertEqual(len(reader.response().body), 1000)
            before = server.metrics()["receive_calls_total"]
            for _ in range(requests):
                client.sendall(make_request("/small.ts"))
                self.assertEqual(len(reader.response().body), 1000)
            after = server.metrics()["receive_calls_total"]
        return after - before

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_one_request_receives_for_as_long_as_a_connection_lives(self):
        self.write("small.ts", b"x" * 1000)
        for sink in ("uring", "write"):
            options = ["--loop", "uring", "--sink", sink]
            with self.subTest(sink), Server(self.directory, *options, threads=1) as server:
                self.skip_where_a_request_receives_once(server)
                # The one is of the connection that asks for the figures.
                self.assertLessEqual(self.receive_calls_for(server, 50), 1)
                with_kernel = server.metrics()["receive_slots"] / 2
                self.assertTrue(eventually(
                    lambda: server.metrics()["receive_slots_in_use"] == with_kernel))

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_where_a_request_may_receive_only_once_it_is_said_and_served(self):
        self.write("small.ts", b"x" * 1000)
        wrapper = [sys.executable, "-B", WITHOUT, "EINVAL",
                   f"--register={REGISTER_PROVIDED_BUFFERS}"]
        for sink in ("uring", "write"):
            options = ["--loop", "uring", "--sink", sink]
            with self.subTest(sink), Server(self.directory, *options,
                                            wrapper=wrapper) as server:
                self.assertGreaterEqual(self.receive_calls_for(server, 50), 50)
                self.assertTrue(server.get("/big.ts").body == self.content)
                metrics = server.metrics()
                self.assertEqual(
                    metrics[f'info{{mode="pool",sink="{sink}",loop="uring",threads="2"}}'], 1)
                self.assertEqual(
                    metrics['substitutions{option="loop",asked="uring, one receive a connection",'
                            'used="uring, a receive each time",reason="Invalid argument"}'], 1)
                self.assertNotIn("receive_slots", metrics)
                self.assertRegex(
                    server.error_text(),
                    r"\A[^\n]*--loop uring, one receive a connection: .*Invalid argument.*"
                    r" uring, a receive each time\n\Z")

    def registered_sockets(self, server):
        """Sockets in the tables of registered files of a server's rings; None where the kernel
        does not show them."""
        found, shown = [], False
        for fd in os.listdir(f"/proc/{server.pid}/fd"):
            with contextlib.suppress(OSError):
                if "io_uring" in os.readlink(f"/proc/{server.pid}/fd/{fd}"):
                    with open(f"/proc/{server.pid}/fdinfo/{fd}", encoding="ascii") as file:
                        text = file.read()
                    shown = shown or "UserFiles:" in text
                    found += re.findall(r"^ *\d+: (socket:\S+)$", text, re.MULTILINE)
        return found if shown else None

    def fetch_on_many_connections(self, server, count):
        """The same bytes on so many connections at once, more than one request each."""
        clients = [server.connect() for _ in range(count)]
        try:
            for _ in range(3):
                for client in clients:
                    client.sendall(make_request("/big.ts"))
                for client in clients:
                    self.assertTrue(Reader(client).response().body == self.content)
            return self.registered_sockets(server)
        finally:
            for client in clients:
                client.close()

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_sockets_that_the_ring_knows_by_their_places(self):
        for sink in SINKS:
            options = ["--loop", "uring", "--sink", sink, "--registered-files", "16"]
            with self.subTest(sink), Server(self.directory, *options, threads=1) as server:
                for _ in range(2):  # the second time by places that were used before
                    held = self.fetch_on_many_connections(server, 12)
                    if held is not None:
                        self.assertGreaterEqual(len(held), 12)
                        self.assertTrue(eventually(
                            lambda: not self.registered_sockets(server)))
                self.assertFalse([name for name in server.metrics()
                                  if name.startswith("substitutions")])

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_a_socket_that_had_a_place_is_closed_with_its_connection(self):
        options = ["--loop", "uring", "--sink", "uring", "--registered-files", "4"]
        with Server(self.directory, *options, "--idle-timeout-ms", "200", threads=1) as server:
            with server.connect() as client:
                client.sendall(make_request("/big.ts"))
                self.assertTrue(Reader(client).response().body == self.content)
                self.assertEqual(client.recv(1), b"")

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_connections_beyond_the_places_go_by_their_descriptors(self):
        for sink in ("uring", "write"):
            options = ["--loop", "uring", "--sink", sink, "--registered-files", "2"]
            with self.subTest(sink), Server(self.directory, *options, threads=1) as server:
                held = self.fetch_on_many_connections(server, 12)
                self.assertTrue(held is None or len(held) == 2)

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_where_files_may_not_be_registered_it_is_said_and_served(self):
        wrapper = [sys.executable, "-B", WITHOUT, "EINVAL", f"--register={REGISTER_FILES2}"]
        options = ["--loop", "uring", "--sink", "uring", "--registered-files", "64"]
        with Server(self.directory, *options, wrapper=wrapper) as server:
            self.fetch_on_many_connections(server, 4)
            self.assertEqual(
                server.metrics()['substitutions{option="registered-files",asked="64",'
                                 'used="descriptors",reason="Invalid argument"}'], 1)
            self.assertRegex(
                server.error_text(),
                r"\A[^\n]*--registered-files 64: .*Invalid argument.* descriptors\n\Z")

    @unittest.skipUnless(HAS_URING, "io_uring is not to be had")
    def test_clients_that_do_not_read_keep_no_slot_that_others_need(self):
        self.write("small.ts", b"x" * 1000)
        with Server(self.directory, "--loop", "uring", "--sink", "write", threads=1) as server:
            self.skip_where_a_request_receives_once(server)
            slots = server.metrics()["receive_slots"]
            clients = []
            try:
                while len(clients) < slots:
                    clients.append(server.connect(receive_buffer=4096))
                    clients[-1].settimeout(0.05)
                    with contextlib.suppress(TimeoutError):
                        clients[-1].sendall(make_request("/big.ts") * 2000)
                self.assertTrue(eventually(
                    lambda: server.metrics()["receive_slots_lacked_total"] > 0))
                # Each request one octet at a time, so that it comes in many pieces.
                with server.connect() as client:
                    reader = Reader(client)
                    for _ in range(3):
                        for octet in make_request("/small.ts"):
                            client.sendall(bytes([octet]))
                        self.assertEqual(len(reader.response().body), 1000)
            finally:
                for client in clients:
                    client.close()
            self.assertTrue(eventually(
                lambda: server.metrics()["receive_slots_in_use"] == slots / 2))
            self.assertLessEqual(self.receive_calls_for(server, 50), 1)

    def test_where_it_is_forbidden_another_way_serves_and_is_named(self):
        forbidden = {"sink": "write", "loop": "epoll"}
        for code, reason in REASONS.items():
            wrapper = [sys.executable, "-B", WITHOUT, code]
            options = ["--sink", "uring", "--loop", "uring"]
            with self.subTest(code), Server(self.directory, *options, wrapper=wrapper) as server:
                self.assertTrue(server.get("/big.ts").body == self.content)
                metrics = server.metrics()
                self.assertEqual(
                    metrics['info{mode="pool",sink="write",loop="epoll",threads="2"}'], 1)
                said = server.error_text()
                self.assertEqual(len(said.splitlines()), 2, said)
                for option, used in forbidden.items():
                    self.assertEqual(
                        metrics[f'substitutions{{option="{option}",asked="uring",used="{used}",'
                                f'reason="{reason}"}}'], 1)
                    self.assertRegex(said, f"--{option} uring: .*{reason}.* {used}\n")


class WithoutLiburing(Case):
    @unittest.skipIf(URING_IS_BUILT, "built with liburing")
    def test_the_option_is_refused_with_a_remedy(self):
        for option in ("--sink", "--loop"):
            done = subprocess.run([PROGRAM, "--root", self.directory, option, "uring"],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr,
                             f"{option}.*uring.*this build has no io_uring.*liburing-dev")


if __name__ == "__main__":
    main()
