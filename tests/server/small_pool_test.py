# SPDX-License-Identifier: MIT
"""A pool that is smaller than what is asked of it: something is given up, or the client is told to
come again, and nobody gets wrong octets."""

import hashlib
import os
import random
import threading
import time

from support import PATIENCE, SINKS, Case, Reader, Server, eventually, main, make_request

SECONDS = 2.5


class SmallPool(Case):
    def setUp(self):
        super().setUp()
        self.files = {}
        # 30 MB in sizes around those of the slots, which are 4, 16, 64, 256 and 1024 KiB.
        sizes = [1, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 262144, 300_000, 1_048_575,
                 1_048_576, 1_048_577, 2_000_000]
        for index, size in enumerate(sizes * 4 + [3_500_000] * 3):
            content = random.Random(index).randbytes(size)
            self.write(f"{index}.ts", content)
            self.files[f"/{index}.ts"] = hashlib.sha256(content).digest()
        time.sleep(0.05)

    def hammer(self, server, threads):
        """Random files from several connections. Returns: how many responses of which status."""
        counts = {}
        failures = []
        deadline = time.monotonic() + SECONDS

        def one(seed):
            order = random.Random(seed)
            try:
                with server.connect() as client:
                    reader = Reader(client)
                    while time.monotonic() < deadline:
                        path = order.choice(list(self.files))
                        client.sendall(make_request(path))
                        response = reader.response()
                        counts[response.status] = counts.get(response.status, 0) + 1
                        if response.status == 200:
                            assert hashlib.sha256(response.body).digest() == self.files[path], path
                        else:
                            assert (response.status, response["retry-after"]) == (503, "1")
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        workers = [threading.Thread(target=one, args=[seed]) for seed in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(failures, [])
        return counts

    def test_files_are_given_up_for_others(self):
        for options in (*(["--sink", sink] for sink in SINKS),
                        ["--sink", "vmsplice", "--arenas", "anonymous"]):
            with self.subTest(options), Server(
                    self.directory, *options, "--pool-bytes", "12MiB") as server:
                counts = self.hammer(server, 6)
                metrics = server.metrics()
                self.assertGreater(metrics["cache_evictions_total"], 50)
                self.assertGreater(counts[200], 100)
                # An arena is free when all of its slots are: a cache that gives up at random can
                # use less of them.
                some = counts[200] / (1 if "--arenas" in options else 10)
                self.assertLess(counts.get(503, 0), some, counts)
                self.assertLess(metrics["cache_bytes"], 12 << 20)

    def test_lent_slots_are_given_up_too(self):
        # Each file often enough to be lent, then all others, and again.
        with Server(self.directory, "--pool-bytes", "12MiB", "--send-timeout-ms", "200") as server:
            for _ in range(2):
                with server.connect() as client:
                    reader = Reader(client)
                    for path, digest in self.files.items():
                        for _ in range(20):
                            client.sendall(make_request(path))
                            response = reader.response()
                            while response.status == 503:
                                time.sleep(0.05)
                                client.sendall(make_request(path))
                                response = reader.response()
                            self.assertEqual(hashlib.sha256(response.body).digest(), digest, path)
            metrics = server.metrics()
            self.assertGreater(metrics["sink_lent_bytes_total"], 10_000_000)
            self.assertGreater(metrics['pool_renewed_total{class="1048576"}'], 0)

    def test_more_clients_than_the_smallest_pool_can_serve(self):
        for sink in SINKS:
            with self.subTest(sink), Server(
                    self.directory, "--sink", sink, "--pool-bytes", "4MiB") as server:
                counts = self.hammer(server, 12)
                self.assertLessEqual(set(counts), {200, 503})
                self.assertGreater(counts[200], 20, counts)

    def test_what_is_being_sent_is_not_given_up(self):
        for sink in SINKS:
            with self.subTest(sink), Server(
                    self.directory, "--sink", sink, "--pool-bytes", "4MiB", threads=1) as server:
                slow = server.connect(receive_buffer=4096)
                try:
                    # The large slots, all of them, and more than the buffers of two sockets hold.
                    slow.sendall(make_request("/13.ts") * 6)
                    self.assertTrue(eventually(lambda: server.metrics()["cache_files"] == 1))
                    time.sleep(0.2)
                    metrics = server.metrics()
                    self.assertGreater(metrics["queued_bytes_total"],
                                       metrics["sent_bytes_total"] + 100_000)
                    response = server.get("/27.ts")
                    self.assertEqual((response.status, response["retry-after"]), (503, "1"))
                    self.assertEqual(server.get("/0.ts").status, 200, "small ones have room")
                    evicted = server.metrics()["cache_evictions_total"]
                    self.assertEqual(evicted, 0, "it would have freed nothing")
                    reader = Reader(slow)
                    for _ in range(6):
                        content = reader.response().body
                        self.assertEqual(hashlib.sha256(content).digest(), self.files["/13.ts"])
                finally:
                    slow.close()
                self.assertTrue(eventually(lambda: server.get("/27.ts").status == 200))

    def test_what_stopped_readers_hold_comes_back_after_the_deadline(self):
        readers = 200
        for sink in SINKS:
            options = ["--sink", sink, "--pool-bytes", "4MiB",
                       "--send-timeout-ms", str(int(1500 * PATIENCE))]
            with self.subTest(sink), Server(self.directory, *options, threads=1) as server:
                stopped = []
                try:
                    for _ in range(readers):
                        client = server.connect(receive_buffer=4096)
                        stopped.append(client)
                        # The large slots, all of them, and more than two sockets hold.
                        client.sendall(make_request("/13.ts") * 6)
                        self.assertEqual(client.recv(1), b"H")  # and no more
                    self.assertEqual(server.get("/27.ts").status, 503, "the last of them has them")
                    self.assertTrue(eventually(
                        lambda: server.metrics()["connections"] == 1, 10))
                    metrics = server.metrics()
                    # The kernel, told the same time limit, is the first where its memory for TCP
                    # is short.
                    self.assertEqual(metrics["send_timeouts_total"] + metrics["aborted_total"],
                                     readers, metrics)
                    self.assertTrue(eventually(lambda: server.get("/27.ts").status == 200))
                    for client in stopped:
                        with self.assertRaises(ConnectionResetError):
                            while client.recv(1 << 20):
                                pass
                finally:
                    for client in stopped:
                        client.close()

    def test_a_file_larger_than_the_pool(self):
        with open(os.path.join(self.directory, "huge.ts"), "wb") as file:
            file.truncate(100 << 20)
        with Server(self.directory, "--pool-bytes", "4MiB") as server:
            self.assertEqual(server.get("/1.ts").status, 200)
            self.assertEqual(server.get("/huge.ts").status, 503)
            self.assertEqual(server.metrics()["cache_evictions_total"], 0, "for nothing")


if __name__ == "__main__":
    main()
