# SPDX-License-Identifier: MIT
"""Every bad request gets its status, in whatever pieces it arrives, and reaches nothing outside."""

import os
import re
import shutil
import socket
import time
import unittest

from bad_requests import CASES, get
from support import Case, Reader, Server, main

SECRET = b"what nobody may see\n"
CONTENT = bytes(range(250)) * 4


class BadRequests(Case):
    def setUp(self):
        super().setUp()
        self.write("secret.txt", SECRET)
        self.write("root/ok.ts", CONTENT)
        self.write("root/empty.ts", b"")
        self.write("root/sub/ok.ts", CONTENT)
        self.write("root/.hidden", SECRET)
        self.write("root/.git/config", SECRET)
        self.root = os.path.join(self.directory, "root")
        os.symlink("../secret.txt", os.path.join(self.root, "link"))
        os.symlink("..", os.path.join(self.root, "dirlink"))
        os.symlink("/etc/passwd", os.path.join(self.root, "passwd"))
        os.symlink("ok.ts", os.path.join(self.root, "inner"))
        os.symlink("/proc", os.path.join(self.root, "proc"))
        os.mkfifo(os.path.join(self.root, "pipe"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(os.path.join(self.root, "socket"))
        # Old enough to have a validator.
        time.sleep(0.05)

    def check(self, name, request, status, client):
        """Reads the answer, and that nothing comes behind one that closes."""
        with self.subTest(name):
            reader = Reader(client)
            response = reader.response(is_head=request.startswith(b"HEAD "))
            self.assertIsNotNone(response, "closed without an answer")
            self.assertEqual(response.status, status)
            self.assertNotIn(SECRET, response.body)
            self.assertNotIn(b"root:", response.body)
            if response.closes:
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(reader.rest_until_close(), b"", "something behind the last answer")
            if status == 405:
                self.assertEqual(response["allow"], "GET, HEAD")
            if status == 416:
                self.assertRegex(response["content-range"], r"^bytes \*/\d+$")
            return response

    def ask_all(self, server):
        for name, request, status in CASES:
            with server.connect() as client:
                client.sendall(request)
                self.check(name, request, status, client)

    def test_each_gets_its_status(self):
        self.assertGreaterEqual(len(CASES), 100)
        for options in (["--sink", "write"], ["--sink", "sendfile"], ["--mode", "naive"]):
            with self.subTest(options), Server(self.root, *options) as server:
                self.ask_all(server)
                self.assertEqual(server.ask(get(b"/ok.ts")).body, CONTENT, "still serves")

    def test_pieces_make_no_difference(self):
        short = [case for case in CASES if len(case[1]) <= 120]
        self.assertGreater(len(short), 100)
        with Server(self.root) as server:
            for name, request, status in short[::4]:
                self.split_everywhere(server, name, request, status)

    def split_everywhere(self, server, name, request, status):
        """Cuts the request in two at every octet; all pairs at once, so that it takes no time."""
        clients = [server.connect() for _ in range(1, len(request))]
        try:
            for at, client in enumerate(clients, 1):
                client.sendall(request[:at])
            time.sleep(0.02)
            for at, client in enumerate(clients, 1):
                client.sendall(request[at:])
            for at, client in enumerate(clients, 1):
                self.check(f"{name}, cut at {at}", request, status, client)
        finally:
            for client in clients:
                client.close()

    def test_octet_by_octet(self):
        with Server(self.root) as server:
            for name, request, status in [case for case in CASES if len(case[1]) <= 120][::25]:
                with server.connect() as client:
                    for octet in request:
                        client.sendall(bytes([octet]))
                        time.sleep(0.0005)
                    self.check(f"{name}, octet by octet", request, status, client)

    def test_a_bad_request_behind_good_ones_is_answered_last(self):
        with Server(self.root) as server, server.connect() as client:
            bad = b"GET /ok.ts HTTP/1.1\r\nbad\r\n\r\n"
            client.sendall(get(b"/ok.ts") * 3 + bad + get(b"/ok.ts"))
            reader = Reader(client)
            self.assertEqual([reader.response().status for _ in range(4)], [200, 200, 200, 400])
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(reader.rest_until_close(), b"")

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_nothing_outside_is_opened(self):
        trace = os.path.join(self.directory, "trace")
        # LeakSanitizer traces the process, too, and there can be only one.
        wrapper = ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq",
                   "-e", "trace=open,openat,openat2,creat", "-o", trace]
        with Server(self.root, wrapper=wrapper, threads=1) as server:
            with open(trace, encoding="latin-1") as file:
                before = len(file.readlines())
            self.ask_all(server)
        with open(trace, encoding="latin-1") as file:
            opened = [line for line in file.readlines()[before:] if re.search(r"= \d+", line)]
        self.assertTrue(opened)
        for line in opened:
            match = re.search(r'openat2\(\d+, "([^"]*)".*NO_SYMLINKS\|RESOLVE_BENEATH', line)
            self.assertTrue(match, line)
            path = os.path.realpath(os.path.join(self.root, match.group(1)))
            self.assertEqual(os.path.commonpath([path, self.root]), self.root, line)
            self.assertNotIn("/.", path, line)


if __name__ == "__main__":
    main()
