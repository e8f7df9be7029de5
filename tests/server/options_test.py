# SPDX-License-Identifier: MIT
"""The command line: what is accepted works, what is not is named, with its limit and a remedy."""

import os
import re
import resource
import signal
import socket
import subprocess

from support import PATIENCE, PROGRAM, Case, Server, main

# Options, and what the message must say: the value, the limit or what there is, what to do.
BAD = [
    (["--root", "{missing}"], ["{missing}", "not exist"]),
    (["--root", "{file}"], ["{file}"]),
    ([], ["--root", "required"]),
    (["--pool-bytes", "0"], ["--pool-bytes 0", "4194304", "4MiB"]),
    (["--pool-bytes", "1MiB"], ["1MiB", "1048576", "4194304"]),
    (["--pool-bytes", "12x"], ["12x", "256MiB"]),
    (["--pool-bytes", "-1"], ["-1", "256MiB"]),
    (["--pool-bytes", "1e9"], ["1e9", "256MiB"]),
    (["--pool-bytes", "99999999999999999999"], ["99999999999999999999", "limit", "memory"]),
    (["--pool-bytes", "999999GiB"], ["999999GiB", "limit", "memory"]),
    (["--threads", "0"], ["--threads 0", "1 to 256", "one a core"]),
    (["--threads", "-2"], ["-2", "1 to 256"]),
    (["--threads", "1000"], ["1000", "1 to 256"]),
    (["--threads", "two"], ["two", "1 to 256"]),
    (["--registered-files", "64"], ["--registered-files 64", "--loop uring"]),
    (["--sink", "teleport"],
     ["teleport", "write", "sendfile", "splice", "vmsplice", "zerocopy", "automatic"]),
    (["--loop", "select"], ["select", "epoll"]),
    (["--mode", "clever"], ["clever", "pool", "naive"]),
    (["--listen", "127.0.0.1"], ["127.0.0.1", "HOST:PORT", "127.0.0.1:8080"]),
    (["--listen", "127.0.0.1:99999"], ["99999", "65535"]),
    (["--listen", "127.0.0.1:http"], ["http", "65535"]),
    (["--listen", "no.such.host.invalid:80"], ["no.such.host.invalid", "address of this machine"]),
    (["--listen", "203.0.113.7:80"], ["203.0.113.7:80", "another port, or 0"]),
    (["--listen", "{taken}"], ["{taken}", "in use", "another port, or 0"]),
    (["--max-connections", "0"], ["--max-connections 0", "1 to 1000000"]),
    (["--max-connections", "1000000"], ["1000000", "open files", "ulimit"]),
    (["--max-head", "10"], ["--max-head 10", "1024"]),
    (["--idle-timeout-ms", "1"], ["--idle-timeout-ms 1", "from 10"]),
    (["--congestion", "carrier-pigeon"], ["carrier-pigeon", "allows", "modprobe"]),
    (["--lock", "perhaps"], ["perhaps", "best_effort"]),
    (["--no-such-option"], ["--no-such-option"]),
]


class Options(Case):
    def run_program(self, *arguments, limit_files=None):
        def limit():
            if limit_files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit_files, limit_files))

        return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False, timeout=20 * PATIENCE, preexec_fn=limit, text=True)

    def test_help(self):
        done = self.run_program("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--root", "--listen", "--sink", "--mode", "--pool-bytes", "--threads",
                       "--congestion"):
            self.assertIn(option, done.stdout)

    def test_what_cannot_be_is_named_with_its_limit_and_a_remedy(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            names = {"missing": os.path.join(self.directory, "missing"),
                     "file": self.write("file", b""),
                     "taken": f"127.0.0.1:{taken.getsockname()[1]}"}
            for options, words in BAD:
                with self.subTest(options):
                    arguments = [each.format(**names) for each in options]
                    if arguments and "--root" not in arguments:
                        arguments += ["--root", self.directory]
                    done = self.run_program(*arguments, limit_files=4096)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertEqual(done.stdout, "")
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    for word in words:
                        self.assertIn(word.format(**names), done.stderr)

    def test_ready_line(self):
        with Server(self.directory) as server:
            server.get("/")
            server.terminate()
            server.process.wait(timeout=10 * PATIENCE)
            self.assertEqual(server.process.stdout.read(), b"", "nothing but the one line")

    def test_addresses(self):
        for listen, expected in (
                ("127.0.0.1:0", r"127\.0\.0\.1:\d+"), ("[::1]:0", r"\[::1\]:\d+"),
                (":0", r"0\.0\.0\.0:\d+"), ("localhost:0", r"(127\.0\.0\.1|\[::1\]):\d+")):
            with self.subTest(listen):
                process = subprocess.Popen([PROGRAM, "--root", self.directory, "--listen", listen],
                                           stdout=subprocess.PIPE, text=True)
                try:
                    self.assertTrue(re.fullmatch(f"ready {expected}\n", process.stdout.readline()))
                finally:
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.wait(timeout=10 * PATIENCE), 0)
                    process.stdout.close()

    def test_sizes_and_locking(self):
        for options in (["--pool-bytes", "8388608"], ["--pool-bytes", "8M"],
                        ["--pool-bytes", "8MiB", "--lock", "none"]):
            with self.subTest(options), Server(self.directory, *options) as server:
                metrics = server.metrics()
                slots = sum(value * int(re.search(r"\d+", name).group())
                            for name, value in metrics.items() if name.startswith("pool_slots{"))
                self.assertLessEqual(slots, 8 << 20)
                self.assertGreater(slots, 6 << 20)
                if "none" in options:
                    self.assertEqual(metrics["pool_locked"], 0)

    def test_congestion_control_of_accepted_connections(self):
        self.write("x.ts", b"x")
        with Server(self.directory, "--congestion", "cubic") as server, server.connect() as client:
            port = client.getsockname()[1]
            listing = subprocess.run(["ss", "-tinH", f"dport = :{port}"], capture_output=True,
                                     text=True, check=False).stdout
            if not listing:
                self.skipTest("ss says nothing here")
            self.assertIn("cubic", listing)
            self.assertNotIn("bbr", listing)

    def test_connections_are_as_many_as_descriptors_allow(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

        done = subprocess.Popen([PROGRAM, "--root", self.directory, "--listen", "127.0.0.1:0"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit)
        try:
            host, port = done.stdout.readline().split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
            limit = int(re.search(r"\nsegment_server_connections_limit (\d+)", text).group(1))
            self.assertTrue(100 <= limit < 200, limit)
        finally:
            done.terminate()
            self.assertEqual(done.wait(timeout=10 * PATIENCE), 0)
            done.stdout.close()
            done.stderr.close()


if __name__ == "__main__":
    main()
