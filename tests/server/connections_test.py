# SPDX-License-Identifier: MIT
"""Peers that are slow, silent, greedy or gone, and the end of the server itself."""

import hashlib
import multiprocessing
import os
import re
import socket
import struct
import threading
import time

from support import PATIENCE, WAYS, Case, Reader, Server, eventually, main, make_request

SMALL = b"small\n"


def reset(client):
    """Closes with a reset, as a crashed peer does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Connections(Case):
    def setUp(self):
        super().setUp()
        self.big = os.urandom(4_000_000)
        self.write("big.ts", self.big)
        self.write("small.ts", SMALL)
        time.sleep(0.05)

    def test_slow_reader_gets_every_octet(self):
        for options in WAYS:
            with self.subTest(options), Server(self.directory, *options) as server:
                for _ in range(20):
                    server.get("/big.ts")
                with server.connect(receive_buffer=16384) as client:
                    client.sendall(make_request("/big.ts"))
                    reader = Reader(client)
                    for _ in range(20):
                        reader.more()
                        time.sleep(0.01)
                    self.assertEqual(hashlib.sha256(reader.response().body).digest(),
                                     hashlib.sha256(self.big).digest())

    def test_peers_that_close_in_the_middle(self):
        for options in WAYS:
            with self.subTest(options), Server(self.directory, *options) as server:
                for turn in range(60):
                    client = server.connect(receive_buffer=4096)
                    client.sendall(make_request("/big.ts") * (1 + turn % 3))
                    if turn % 4:
                        client.recv(1000)
                    if turn % 2:
                        reset(client)
                    else:
                        client.close()
                self.assertTrue(eventually(lambda: server.metrics()["connections"] == 1))
                self.assertGreater(server.metrics()["aborted_total"], 0)
                self.assertTrue(server.get("/big.ts").body == self.big)

    def test_slowloris_is_told_and_closed(self):
        with Server(self.directory, "--header-timeout-ms", "400") as server:
            with server.connect() as client:
                began = time.monotonic()
                client.settimeout(0.03)
                reader = Reader(client)
                for octet in make_request("/small.ts", "X-Slow: " + "x" * 500):
                    client.sendall(bytes([octet]))
                    try:
                        if not reader.more() or b"\r\n\r\n" in reader.rest:
                            break
                    except TimeoutError:
                        pass
                client.settimeout(5)
                self.assertEqual(reader.response().status, 408)
                took = time.monotonic() - began
                self.assertGreater(took, 0.35)
                self.assertLess(took, 1.5 * PATIENCE)
            # The second request of a connection is watched like the first.
            with server.connect() as client:
                reader = Reader(client)
                client.sendall(make_request("/small.ts") + b"GET /sm")
                self.assertEqual(reader.response().status, 200)
                self.assertEqual(reader.response().status, 408)
            self.assertEqual(server.metrics()["header_timeouts_total"], 2)

    def test_silence_is_ended_without_a_word(self):
        options = ["--header-timeout-ms", "300", "--idle-timeout-ms", "300"]
        with Server(self.directory, *options) as server:
            with server.connect() as client:
                self.assertEqual(client.recv(100), b"", "never said anything")
            with server.connect() as client:
                reader = Reader(client)
                for _ in range(4):
                    client.sendall(make_request("/small.ts"))
                    self.assertEqual(reader.response().body, SMALL)
                    time.sleep(0.15)  # less than the limit each time, more in all
                self.assertIsNone(reader.response())
            self.assertEqual(server.metrics()["idle_timeouts_total"], 2)

    def test_who_does_not_read_is_reset(self):
        for options in WAYS:
            with self.subTest(options), Server(
                    self.directory, *options, "--send-timeout-ms", "400") as server:
                with server.connect(receive_buffer=4096) as client:
                    client.sendall(make_request("/big.ts") * 3)
                    self.assertTrue(
                        eventually(lambda: server.metrics()["send_timeouts_total"] == 1))
                    with self.assertRaises(ConnectionResetError):
                        while client.recv(1 << 20):
                            pass

    def test_who_reads_slowly_is_not_reset(self):
        with Server(self.directory, "--send-timeout-ms", "600") as server:
            with server.connect(receive_buffer=65536) as client:
                times = 6  # more than the buffers of two sockets hold: the server has to wait
                client.sendall(make_request("/big.ts") * times)
                began = time.monotonic()
                received = 0
                end = b""
                while received < times * len(self.big):
                    piece = client.recv(400_000)
                    self.assertTrue(piece, "closed")
                    received += len(piece)
                    end = (end + piece)[-1000:]
                    time.sleep(0.02 if time.monotonic() - began < 2 else 0)
                self.assertGreater(time.monotonic() - began, 1.2)
                self.assertEqual(end, self.big[-1000:])

    def test_limit_of_connections(self):
        with Server(self.directory, "--max-connections", "5") as server:
            clients = [server.connect() for _ in range(5)]
            try:
                for client in clients:
                    client.sendall(make_request("/small.ts"))
                    self.assertEqual(Reader(client).response().status, 200)
                for _ in range(20):
                    response = server.get("/small.ts")
                    self.assertEqual((response.status, response["retry-after"]), (503, "1"))
                    self.assertTrue(response.closes)
                clients[0].close()
                self.assertTrue(eventually(lambda: server.get("/small.ts").status == 200))
            finally:
                for client in clients:
                    client.close()
            self.assertTrue(eventually(lambda: server.get("/metrics").status == 200))
            self.assertGreaterEqual(server.metrics()["connections_refused_total"], 20)

    def test_a_client_that_only_asks_is_bounded(self):
        for options in WAYS:
            with self.subTest(options), Server(self.directory, *options, threads=1) as server:
                server.get("/big.ts")
                with server.connect(receive_buffer=4096) as client:
                    client.settimeout(0.3)
                    request = make_request("/big.ts") * 1000
                    sent = 0
                    try:
                        while sent < 200:
                            client.sendall(request)
                            sent += 1
                    except TimeoutError:
                        pass
                    self.assertLess(sent, 200, "the server reads without end")
                    metrics = server.metrics()
                    queued = metrics["queued_bytes_total"] - metrics["sent_bytes_total"]
                    self.assertLess(queued, 2 * len(self.big), "a response, and what is just begun")

    def test_a_greedy_client_does_not_starve_the_others(self):
        def ask(client):
            requests = make_request("/small.ts", "If-None-Match: *") * 10_000
            while True:
                client.sendall(requests)

        def read(client):
            space = bytearray(1 << 20)
            while client.recv_into(space):
                pass

        with Server(self.directory, threads=1) as server, server.connect() as client:
            # Processes, because threads would wait for each other, and so let the server rest.
            greedy = [multiprocessing.get_context("fork").Process(target=act, args=[client])
                      for act in (ask, read)]
            for process in greedy:
                process.start()
            try:
                answered = []
                for _ in range(21):
                    before = server.answered()
                    answered.append(server.answered() - before)
            finally:
                for process in greedy:
                    process.terminate()
                    process.join()
            # More than 3,000 requests lie in the socket at a time, and nobody may wait for all of
            # them. The least of them, because the other client may wait for a processor, too.
            self.assertLess(min(answered), 1500)

    def test_sigterm_drains(self):
        for options in WAYS:
            with self.subTest(options), Server(self.directory, *options) as server:
                idle = server.connect()
                asking = server.connect()
                slow = server.connect(receive_buffer=65536)
                try:
                    idle.sendall(make_request("/small.ts"))
                    Reader(idle).response()
                    asking.sendall(b"GET /small.ts HTT")
                    slow.sendall(make_request("/big.ts"))
                    reader = Reader(slow)
                    reader.more()
                    server.terminate()
                    self.assertEqual(idle.recv(1), b"", "an idle connection is closed at once")
                    self.assertTrue(eventually(lambda: not self.accepts(server)))
                    asking.sendall(b"P/1.1\r\nHost: x\r\n\r\n")
                    response = Reader(asking).response()
                    self.assertEqual((response.body, response.closes), (SMALL, True))
                    self.assertTrue(reader.response().body == self.big)
                    self.assertEqual(reader.rest_until_close(), b"")
                finally:
                    for client in (idle, asking, slow):
                        client.close()

    @staticmethod
    def accepts(server):
        try:
            server.connect().close()
            return True
        except (ConnectionRefusedError, ConnectionResetError):
            return False  # reset: it was in the queue of the listening socket as that was closed

    def test_sigterm_with_nothing_to_do_ends_at_once(self):
        began = time.monotonic()
        with Server(self.directory) as server:
            server.terminate()
            server.process.wait(timeout=5)
        self.assertLess(time.monotonic() - began, 3 * PATIENCE)

    def test_draining_has_an_end(self):
        with Server(self.directory, "--drain-timeout-ms", "300", exit_code=1) as server:
            with server.connect(receive_buffer=4096) as client:
                client.sendall(make_request("/big.ts"))
                self.assertTrue(client.recv(100))
                began = time.monotonic()
                server.terminate()
                server.process.wait(timeout=10)
                self.assertGreater(time.monotonic() - began, 0.2)

    def test_no_descriptor_leaks(self):
        with Server(self.directory) as server:
            def count():
                return len(os.listdir(f"/proc/{server.pid}/fd"))

            server.get("/small.ts")
            self.assertTrue(eventually(lambda: server.metrics()["connections"] == 1))
            before = count()
            for _ in range(200):
                server.get("/small.ts")
                server.get("/missing")
                server.get("/")
                self.write("changing.ts", os.urandom(10))
                server.get("/changing.ts")
            self.assertTrue(eventually(lambda: count() <= before))

    def test_memory_of_idle_connections_is_small(self):
        with Server(self.directory, threads=1) as server:
            def resident():
                with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
                    return int(re.search(r"RssAnon:\s+(\d+) kB", file.read()).group(1))

            server.get("/small.ts")
            before = resident()
            clients = [server.connect() for _ in range(500)]
            try:
                for client in clients:
                    client.sendall(make_request("/small.ts"))
                for client in clients:
                    Reader(client).response()
                self.assertLess(resident() - before, 500 * 24 * PATIENCE)
            finally:
                for client in clients:
                    client.close()


if __name__ == "__main__":
    main()
