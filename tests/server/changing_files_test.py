# SPDX-License-Identifier: MIT
"""Files that change while they are served: every response is wholly one version; where a version is
put in place at once, never an older one than was there when it was asked for."""

import os
import shutil
import threading
import time

from support import SINKS, Case, Reader, Server, eventually, main, make_request

SECONDS = 1.5


def version(number):
    """The content of a version: every eight octets say its number, which makes its length, too."""
    count = 1 + number * 7919 % 150_000
    return b"%08d" % number * count


def same_length(number):
    return b"%08d" % number * 50_000


def number_of(content, make=version):
    """Which version it is. Fails on anything that is not wholly one version."""
    assert content, "empty"
    number = int(content[:8])
    assert len(content) == len(make(number)), f"length {len(content)} is not of version {number}"
    assert content == make(number), f"mixture of versions, {number} first"
    return number


def replace(path, content):
    """The good way: complete under another name, then in place at once."""
    with open(path + ".tmp", "wb") as file:
        file.write(content)
    os.rename(path + ".tmp", path)


def rewrite(path, content):
    """The bad way: truncated, and written in pieces with pauses in between."""
    with open(path, "wb", buffering=0) as file:
        for at in range(0, len(content), len(content) // 3 + 1):
            file.write(content[at:at + len(content) // 3 + 1])
            time.sleep(0.001)


def overwrite(path, content):
    """Worse: the same length, piece by piece over what is there."""
    with open(path, "r+b", buffering=0) as file:
        for at in range(0, len(content), 8000):
            file.write(content[at:at + 8000])
            if at % 80_000 == 0:
                time.sleep(0.0005)


class ChangingFiles(Case):
    def test_a_look_may_be_believed_for_a_while(self):
        path = self.write("a.ts", version(1))
        time.sleep(0.05)  # so that a later change must show in the file's status
        with Server(self.directory, "--recheck-ms", "1000", threads=1) as server:
            self.assertEqual(number_of(server.get("/a.ts").body), 1)
            seen = time.monotonic()
            replace(path, version(2))
            while time.monotonic() < seen + 0.8:
                self.assertEqual(number_of(server.get("/a.ts").body), 1)
            self.assertTrue(eventually(lambda: number_of(server.get("/a.ts").body) == 2))
            os.remove(path)
            self.assertEqual(server.get("/a.ts").status, 200)
            self.assertTrue(eventually(lambda: server.get("/a.ts").status == 404))

    def serve_while_writing(self, sink, write, make, at_once):
        """Readers and a writer at once. `at_once`: whether there is no time without a whole
        version; otherwise the server may have to go back to the last one that it saw."""
        path = "live.ts"
        target = self.write(path, make(1))
        complete = [1]  # the last version that was written to its end
        failures = []
        seen = []
        stop = threading.Event()

        def keep_writing():
            number = 1
            while not stop.is_set():
                number += 1
                write(target, make(number))
                complete[0] = number
                time.sleep(0.002)

        def keep_reading(server):
            try:
                with server.connect() as client:
                    reader = Reader(client)
                    number = 0
                    while not stop.is_set():
                        at_least = complete[0] if at_once else number
                        client.sendall(make_request("/" + path))
                        response = reader.response()
                        assert response.status == 200, f"status {response.status}"
                        number = number_of(response.body, make)
                        assert number >= at_least, f"{number} after {at_least}"
                        seen.append(number)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        with Server(self.directory, "--sink", sink) as server:
            self.assertEqual(server.get("/" + path).status, 200)
            threads = [threading.Thread(target=keep_writing)]
            threads += [threading.Thread(target=keep_reading, args=[server]) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(SECONDS)
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            self.assertEqual(number_of(server.get("/" + path).body, make), complete[0])
        self.assertGreater(len(set(seen)), 20, "the file has hardly changed")

    def test_replaced_by_rename(self):
        for sink in SINKS:
            with self.subTest(sink):
                self.serve_while_writing(sink, replace, version, at_once=True)

    def test_rewritten_in_place(self):
        for sink in SINKS:
            with self.subTest(sink):
                self.serve_while_writing(sink, rewrite, version, at_once=False)

    def test_overwritten_in_place_with_the_same_length(self):
        for sink in SINKS:
            with self.subTest(sink):
                self.serve_while_writing(sink, overwrite, same_length, at_once=False)

    def test_each_change_shows_at_once(self):
        path = self.write("x.ts", b"00000000")
        with Server(self.directory) as server:
            for number in range(300):
                content = b"%08d" % number
                if number % 10 == 0:
                    time.sleep(0.03)  # Now it is old enough to be trusted: only its status tells.
                    self.assertEqual(server.get("/x.ts").status, 200)
                if number % 3 == 0:
                    replace(path, content)
                elif number % 3 == 1:
                    rewrite(path, content)
                else:
                    overwrite(path, content)
                    os.utime(path, (1_000_000_000, 1_000_000_000))  # as rsync does
                self.assertEqual(server.get("/x.ts").body, content)

    def test_validators_change_with_the_file(self):
        with Server(self.directory) as server:
            path = self.write("x.ts", b"one")
            self.assertIsNone(server.get("/x.ts")["etag"], "too young to tell from its successor")
            time.sleep(0.05)
            tag = server.get("/x.ts")["etag"]
            self.assertEqual(server.get("/x.ts", f"If-None-Match: {tag}").status, 304)
            stat = os.stat(path)
            overwrite(path, b"two")
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            time.sleep(0.05)
            response = server.get("/x.ts", f"If-None-Match: {tag}", "Range: bytes=0-0",
                                  f"If-Range: {tag}")
            self.assertEqual((response.status, response.body), (200, b"two"))
            self.assertNotEqual(response["etag"], tag)

    def test_gone_and_back(self):
        path = self.write("sub/x.ts", b"one")
        with Server(self.directory) as server:
            self.assertEqual(server.get("/sub/x.ts").status, 200)
            os.unlink(path)
            self.assertEqual(server.get("/sub/x.ts").status, 404)
            self.assertEqual(server.metrics()["cache_files"], 0)
            self.write("sub/x.ts", b"two")
            self.assertEqual(server.get("/sub/x.ts").body, b"two")
            shutil.rmtree(os.path.dirname(path))
            self.assertEqual(server.get("/sub/x.ts").status, 404)

    def test_links_put_in_the_place_of_what_was_served(self):
        path = self.write("root/sub/x.ts", b"inside")
        outside = self.write("outside/x.ts", b"outside")
        time.sleep(0.05)
        with Server(os.path.join(self.directory, "root")) as server:
            self.assertEqual(server.get("/sub/x.ts").body, b"inside")
            os.unlink(path)
            os.symlink(outside, path)
            self.assertEqual(server.get("/sub/x.ts").status, 404)
            shutil.rmtree(os.path.dirname(path))
            os.symlink(os.path.dirname(outside), os.path.dirname(path))
            self.assertEqual(server.get("/sub/x.ts").status, 404)

    def test_a_response_in_flight_stays_what_it_was(self):
        old = os.urandom(8_000_000)
        new = os.urandom(8_000_000)
        for sink in SINKS:
            path = self.write("x.ts", old)
            with self.subTest(sink), Server(self.directory, "--sink", sink) as server:
                for _ in range(20):  # until it is worth lending
                    server.get("/x.ts")
                with server.connect(receive_buffer=65536) as slow:
                    slow.sendall(make_request("/x.ts"))
                    reader = Reader(slow)
                    reader.more()
                    replace(path, new)
                    self.assertTrue(server.get("/x.ts").body == new)
                    self.assertTrue(reader.response().body == old)

    def test_a_file_that_is_being_written_for_the_first_time_is_not_there_yet(self):
        with Server(self.directory) as server:
            with open(os.path.join(self.directory, "x.ts"), "wb", buffering=0) as file:
                file.write(b"half")
                response = server.get("/x.ts")
                self.assertEqual((response.status, response["retry-after"]), (503, "1"))
                file.write(b" and half")
            self.assertTrue(eventually(lambda: server.get("/x.ts").body == b"half and half"))


if __name__ == "__main__":
    main()
