# SPDX-License-Identifier: MIT
"""/metrics adds up, and what it says is held goes back to nothing."""

import os
import random
import re
import shutil
import subprocess
import threading
import unittest

from support import (LADDER, LOOP, SINKS, Case, Reader, Server, eventually, ladder_files, main,
                     make_request)

CLASSES = (4096, 16384, 65536, 262144, 1048576)


@unittest.skipUnless(LADDER, "LADDER is not set")
class Metrics(Case):
    def setUp(self):
        super().setUp()
        self.root = os.path.join(self.directory, "root")
        shutil.copytree(LADDER, self.root, ignore=shutil.ignore_patterns(".*"))
        self.names = ladder_files()

    def load(self, server, seed):
        """Requests of every kind on one connection, the last one broken off in the middle."""
        order = random.Random(seed)
        with server.connect(receive_buffer=32768) as client:
            reader = Reader(client)
            for _ in range(40):
                name = order.choice(self.names)
                fields = order.choice([(), ("Range: bytes=0-999",), ("Range: bytes=-70000",),
                                       ("If-None-Match: *",), ("Range: bytes=99999999-",)])
                client.sendall(make_request("/" + name, *fields))
                reader.response()
            client.sendall(make_request("/ts/high_000.ts") * 3)
            client.recv(5000)

    def rename_all(self, sources, targets):
        for source, target in zip(sources, targets):
            os.rename(os.path.join(self.root, source), os.path.join(self.root, target))

    def connections_add_up(self, metrics):
        return (metrics["connections_accepted_total"]
                == metrics["connections_closed_total"] + metrics["connections"])

    def test_gauges_go_back_to_zero(self):
        hidden = ["." + name.replace("/", "_") for name in self.names]
        for sink in SINKS:
            options = ["--sink", sink, "--pool-bytes", "16MiB", "--send-timeout-ms", "500"]
            with self.subTest(sink), Server(self.root, *options) as server:
                loads = [threading.Thread(target=self.load, args=[server, seed])
                         for seed in range(6)]
                for load in loads:
                    load.start()
                for load in loads:
                    load.join()
                self.assertTrue(eventually(lambda: server.metrics()["connections"] == 1))
                self.assertGreater(server.metrics()["cache_files"], 0)
                # What is gone from disk is asked for once more, and so goes from the pool.
                self.rename_all(self.names, hidden)
                for name in self.names:
                    self.assertEqual(server.get("/" + name).status, 404)
                metrics = server.metrics()
                self.rename_all(hidden, self.names)
                self.assertEqual((metrics["cache_files"], metrics["cache_bytes"]), (0, 0))
                for size in CLASSES:
                    label = f'{{class="{size}"}}'
                    self.assertEqual(metrics["pool_slots_in_use" + label], 0, size)
                    self.assertEqual(metrics["pool_acquired_total" + label],
                                     metrics["pool_released_total" + label], size)
                # The other thread may be closing one while its counters are read.
                self.assertTrue(eventually(lambda: self.connections_add_up(server.metrics())))

    def test_counters_count(self):
        with Server(self.root, "--sink", "write", threads=1) as server:
            before = server.metrics()
            body = server.get("/ts/low_000.ts").body
            server.get("/ts/low_000.ts", "Range: bytes=0-9")
            server.get("/ts/low_000.ts", "Range: bytes=999999999-")
            server.get("/missing")
            server.ask(b"BAD\r\n\r\n")
            after = server.metrics()

            def grown(name):
                return after[name] - before[name]

            for code, count in {200: 2, 206: 1, 416: 1, 404: 1, 400: 1, 503: 0}.items():
                self.assertEqual(grown(f'responses_total{{code="{code}"}}'), count, code)
            self.assertEqual((grown("cache_misses_total"), grown("cache_hits_total")), (1, 2))
            self.assertGreater(grown("sent_bytes_total"), len(body) + 10)
            self.assertEqual(grown("sink_copied_bytes_total"), grown("sent_bytes_total"))
            self.assertEqual(after["sink_lent_bytes_total"], 0)
            self.assertGreater(after["cpu_seconds_total"], 0)

    def test_sendfile_lends_what_is_sent_often(self):
        with Server(self.root, "--sink", "sendfile", threads=1) as server:
            for _ in range(40):
                body = server.get("/ts/high_000.ts").body
            lent = server.metrics()["sink_lent_bytes_total"]
            self.assertGreaterEqual(lent, 20 * len(body))
            self.assertLess(lent, 30 * len(body), "the first ones are copied")

    def test_how_pages_are_renewed_is_said(self):
        def lending(*options):
            with Server(self.root, *options, threads=1) as server:
                server.get("/ts/high_000.ts")
                metrics = server.metrics()
                how = [name for name in metrics if name.startswith("pool_lending")]
                replaced = [name for name in metrics if name.startswith("substitutions")]
                self.assertEqual(len(how), 1)
                return re.search('how="(.*)"', how[0])[1], replaced, server.error_text()

        self.assertEqual(lending("--sink", "write"), ("never", [], ""))
        self.assertEqual(lending("--sink", "vmsplice"), ("slot", [], ""))
        small = lending("--sink", "vmsplice", "--arenas", "auto", "--pool-bytes", "32MiB")
        self.assertEqual(small, ("slot", [], ""))
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            has_huge_pages = "[never]" not in file.read()
        how, replaced, _ = lending("--sink", "vmsplice", "--arenas", "auto")
        self.assertEqual((how, replaced), ("arena" if has_huge_pages else "slot", []))
        with open("/proc/sys/vm/nr_hugepages", encoding="ascii") as file:
            if int(file.read()) == 0:
                how, replaced, said = lending("--sink", "vmsplice", "--arenas", "hugetlb")
                self.assertEqual((how, len(replaced)), ("slot", 1))
                self.assertIn('option="arenas"', replaced[0])
                self.assertRegex(said, "--arenas: .*nr_hugepages.*slot by slot")

    def test_heads_in_arenas_leave_with_the_body(self):
        with Server(self.root, "--sink", "vmsplice", "--arenas", "auto", threads=1) as server:
            body = server.get("/ts/high_000.ts").body
            metrics = server.metrics()
            if 'pool_lending{how="arena"}' not in metrics:
                self.skipTest("no huge pages")
            self.assertEqual(metrics["sink_copied_bytes_total"], 0)
            self.assertGreater(metrics["sink_lent_bytes_total"], len(body))

    def test_a_hit_allocates_nothing(self):
        for sink in SINKS:
            with self.subTest(sink), Server(self.root, "--sink", sink, threads=1) as server:
                if server.metrics()["allocations_total"] == 0:
                    self.skipTest("a sanitizer brings its own malloc")
                with server.connect() as client:
                    reader = Reader(client)

                    def ask(path, times, *fields):
                        for _ in range(times):
                            client.sendall(make_request(path, *fields))
                            self.assertIn(reader.response().status, (200, 206, 304))

                    for turn in range(2):
                        before = server.metrics()["allocations_total"]
                        ask("/ts/high_000.ts", 100)
                        ask("/ts/high_000.ts", 100, "Range: bytes=1000-1999999")
                        ask("/ts/high_000.ts", 100, "If-None-Match: *")
                        ask("/ts/low.m3u8", 100)
                        grown = server.metrics()["allocations_total"] - before
                    # The pages of metrics themselves, a connection for each, and a date a second.
                    self.assertLess(grown, 400)
                    before = server.metrics()["allocations_total"]
                    alone = server.metrics()["allocations_total"] - before
                    # One in each of a hundred would show; a slow machine only adds dates.
                    self.assertLess(grown - alone, 95, "400 requests")

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool_has_no_objection(self):
        with Server(self.root) as server:
            text = server.get("/metrics").body
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                                  check=False, timeout=30)
            self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_naive_mode_has_no_pool(self):
        with Server(self.root, "--mode", "naive") as server:
            metrics = server.metrics()
            self.assertFalse([name for name in metrics if name.startswith(("pool_", "cache_f"))])
            info = f'info{{mode="naive",sink="send",loop="{LOOP}",threads="2"}}'
            self.assertEqual(metrics[info], 1)


if __name__ == "__main__":
    main()
