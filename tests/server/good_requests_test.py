# SPDX-License-Identifier: MIT
"""What a client that does everything right gets: in every mode, with every sink, the same."""

import email.utils
import functools
import os
import socket
import time

from support import WAYS, Case, Reader, Server, main, make_request

CONTENT = os.urandom(3_000_000)  # three slots of the largest class

TYPES = {
    "a.m3u8": "application/vnd.apple.mpegurl",
    "a.mpd": "application/dash+xml",
    "a.ts": "video/mp2t",
    "a.m4s": "video/iso.segment",
    "a.mp4": "video/mp4",
    "A.MP4": "video/mp4",
    "a.m4a": "audio/mp4",
    "a.aac": "audio/aac",
    "a.vtt": "text/vtt; charset=utf-8",
    "a.bin": "application/octet-stream",
    "a": "application/octet-stream",
    "a.ts.bak": "application/octet-stream",
}

# What is asked for, and the first and last octet that come.
SIZE = len(CONTENT)
RANGES = {
    "bytes=0-0": (0, 0),
    "bytes=0-": (0, SIZE - 1),
    "bytes=5-9": (5, 9),
    "BYTES=5-9": (5, 9),
    "bytes=1048575-1048576": (1048575, 1048576),  # over the border of two slots
    "bytes=1000000-2500000": (1000000, 2500000),
    "bytes=1048576-2097151": (1048576, 2097151),
    "bytes=2097152-": (2097152, SIZE - 1),
    f"bytes={SIZE - 1}-": (SIZE - 1, SIZE - 1),
    f"bytes=0-{SIZE + 100}": (0, SIZE - 1),
    "bytes=7-99999999999999999999999999": (7, SIZE - 1),
    "bytes=-1": (SIZE - 1, SIZE - 1),
    "bytes=-1000": (SIZE - 1000, SIZE - 1),
    f"bytes=-{SIZE}": (0, SIZE - 1),
    f"bytes=-{SIZE + 1}": (0, SIZE - 1),
    "bytes=-99999999999999999999999999": (0, SIZE - 1),
}


def in_each_way(test):
    """Runs a test once for every way of serving, with a server as its second argument."""
    @functools.wraps(test)
    def run(self):
        for options in WAYS:
            with self.subTest(options), Server(self.directory, *options) as server:
                test(self, server)
    return run


class GoodRequests(Case):
    def setUp(self):
        super().setUp()
        for name in TYPES:
            self.write(name, name.encode())
        self.write("big.ts", CONTENT)
        self.write("empty.ts", b"")
        self.write("sub/dir/x.ts", b"deep")
        self.write("with space & 100%.ts", b"odd")
        self.write("m\u00fcnchen.ts", b"umlaut")
        self.write("%2e%2e", b"escaped twice")
        self.write("a..b.ts", b"dots")
        old = time.time() - 3600
        for folder, _, names in os.walk(self.directory):
            for name in names:
                os.utime(os.path.join(folder, name), (old, old))
        time.sleep(0.05)

    @in_each_way
    def test_content_and_types(self, server):
        for name, expected in TYPES.items():
            response = server.get("/" + name)
            self.assertEqual((response.status, response.body), (200, name.encode()))
            self.assertEqual(response["content-type"], expected)
            self.assertEqual(response["accept-ranges"], "bytes")
            self.assertEqual(response["access-control-allow-origin"], "*")
            live = name.endswith((".m3u8", ".mpd"))
            self.assertEqual(response["cache-control"], "no-cache" if live else "max-age=60")
            date = email.utils.parsedate_to_datetime(response["date"]).timestamp()
            self.assertLess(abs(date - time.time()), 3)
            modified = email.utils.parsedate_to_datetime(response["last-modified"]).timestamp()
            self.assertEqual(modified, int(os.stat(os.path.join(self.directory, name)).st_mtime))
        self.assertEqual(server.get("/big.ts").body, CONTENT)
        self.assertEqual(server.get("/empty.ts").body, b"")

    @in_each_way
    def test_targets(self, server):
        for target, content in {
            "/sub/dir/x.ts": b"deep",
            "/sub/dir/x.ts?token=a/../b": b"deep",
            "http://elsewhere:80/sub/dir/x.ts": b"deep",
            "HTTP://[::1]/sub/dir/x.ts?x": b"deep",
            "/%73ub/%64ir/x%2Ets": b"deep",
            "/with%20space%20&%20100%25.ts": b"odd",
            "/m%C3%BCnchen.ts": b"umlaut",
            "/%252e%252e": b"escaped twice",
            "/a..b.ts": b"dots",
        }.items():
            response = server.get(target)
            self.assertEqual((response.status, response.body), (200, content), target)

    @in_each_way
    def test_hosts_and_expectations(self, server):
        for line in (b"Host: a", b"Host: a:80", b"Host:a", b"Host: \t a \t ", b"hOsT: 1.2.3.4",
                     b"Host: [::1]:8080", b"Host: a:", b"Host: a\r\nExpect: 100-Continue",
                     b"Host: a\r\nContent-Length: 0",
                     b"Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade",
                     b"Host: a\r\nX-Empty:", b"Host: a\r\nX-Octets: \xe4\xff"):
            response = server.ask(b"GET /a.ts HTTP/1.1\r\n" + line + b"\r\n\r\n")
            self.assertEqual(response.status, 200, line)
        self.assertEqual(server.ask(b"\r\nGET /a.ts HTTP/1.1\r\nHost: a\r\n\r\n").status, 200)

    @in_each_way
    def test_head(self, server):
        with server.connect() as client:
            reader = Reader(client)
            for path in ("/big.ts", "/missing", "/metrics", "/", "/big.ts"):
                client.sendall(make_request(path, method="HEAD"))
                response = reader.response(is_head=True)
                self.assertEqual(response.status, 404 if path == "/missing" else 200)
                self.assertGreater(int(response["content-length"]), 0)
            self.assertEqual(int(response["content-length"]), SIZE)
            client.sendall(make_request("/a.ts"))
            self.assertEqual(reader.response().body, b"a.ts", "no octet was left over")

    @in_each_way
    def test_ranges(self, server):
        with server.connect() as client:
            reader = Reader(client)
            for asked, (first, last) in RANGES.items():
                client.sendall(make_request("/big.ts", f"Range: {asked}"))
                response = reader.response()
                self.assertEqual(response.status, 206, asked)
                self.assertEqual(response["content-range"], f"bytes {first}-{last}/{SIZE}")
                self.assertTrue(response.body == CONTENT[first:last + 1], asked)
                self.assertEqual(response["content-type"], "video/mp2t")

    @in_each_way
    def test_conditions(self, server):
        plain = server.get("/big.ts")
        tag = plain["etag"]
        date = plain["last-modified"]
        later = email.utils.formatdate(time.time() + 3600, usegmt=True)
        before = "Sun, 06 Nov 1994 08:49:37 GMT"
        self.assertRegex(tag, r'^"[0-9a-f-]+"$')
        for fields, status in {
            (f"If-None-Match: {tag}",): 304,
            (f"If-None-Match: W/{tag}",): 304,
            (f'If-None-Match: "x", {tag}',): 304,
            (f'If-None-Match: "x" ,W/"y",  {tag} , "z"',): 304,
            ("If-None-Match: *",): 304,
            ('If-None-Match: "x"',): 200,
            ('If-None-Match: "x"', f"If-Modified-Since: {date}"): 200,
            (f"If-None-Match: {tag}", f"If-Modified-Since: {before}"): 304,
            (f"If-Modified-Since: {date}",): 304,
            (f"If-Modified-Since: {later}",): 304,
            (f"If-Modified-Since: {before}",): 200,
            ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",): 200,
            ("If-Modified-Since: Sun Nov  6 08:49:37 1994",): 200,
            ("If-Modified-Since: Fri Nov  6 08:49:37 2111",): 304,
            (f"If-Match: {tag}",): 200,
            ("If-Match: *",): 200,
            (f"If-Match: W/{tag}",): 412,
            (f"If-Unmodified-Since: {date}",): 200,
            (f"If-Unmodified-Since: {before}",): 412,
            (f"If-Match: {tag}", f"If-None-Match: {tag}"): 304,
            ("Range: bytes=0-1", f"If-None-Match: {tag}"): 304,
            ("Range: bytes=0-1", f"If-Range: {tag}"): 206,
            ("Range: bytes=0-1", f"If-Range: {date}"): 206,
            ("Range: bytes=0-1", f"If-Range: W/{tag}"): 200,
            ("Range: bytes=0-1", 'If-Range: "x"'): 200,
            ("Range: bytes=0-1", f"If-Range: {later}"): 200,
            ("Range: bytes=0-1", f"If-Range: {before}"): 200,
            ("Range: bytes=9999999-", f"If-Range: {tag}"): 416,
            ("Range: bytes=9999999-", 'If-Range: "x"'): 200,
        }.items():
            response = server.get("/big.ts", *fields)
            self.assertEqual(response.status, status, fields)
            if status == 304:
                self.assertEqual((response["etag"], response["last-modified"]), (tag, date))
                self.assertIsNone(response["content-length"])

    @in_each_way
    def test_keep_alive_and_its_end(self, server):
        with server.connect() as client:
            reader = Reader(client)
            for _ in range(20):
                client.sendall(make_request("/a.ts"))
                self.assertIsNone(reader.response()["connection"])
            client.sendall(make_request("/a.ts", close=True) + make_request("/a.mp4"))
            self.assertTrue(reader.response().closes)
            self.assertEqual(reader.rest_until_close(), b"")
        with server.connect() as client:
            reader = Reader(client)
            client.sendall(b"GET /a.ts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual(reader.response()["connection"], "keep-alive")
            client.sendall(b"GET /a.ts HTTP/1.0\r\n\r\n")
            self.assertTrue(reader.response().closes)
            self.assertEqual(reader.rest_until_close(), b"")

    @in_each_way
    def test_fifty_requests_in_one_packet(self, server):
        names = [name for name in TYPES if name != "a"] * 5
        requests = b"".join(make_request("/" + name) for name in names[:50])
        with server.connect() as client:
            client.sendall(requests)
            reader = Reader(client)
            answers = [reader.response().body.decode() for _ in range(50)]
            self.assertEqual(answers, names[:50])

    @in_each_way
    def test_pipelined_large_responses_come_in_order(self, server):
        asked = ["/big.ts", "/a.ts", "/big.ts", "/empty.ts", "/missing", "/big.ts"] * 8
        with server.connect() as client:
            client.sendall(b"".join(make_request(path) for path in asked))
            reader = Reader(client)
            for path in asked:
                expected = {"/big.ts": CONTENT, "/a.ts": b"a.ts", "/empty.ts": b"",
                            "/missing": b"404 Not Found\n"}[path]
                self.assertTrue(reader.response().body == expected, path)

    @in_each_way
    def test_more_requests_than_fit_while_the_kernel_holds_what_was_sent(self, server):
        body = os.urandom(50_000)
        self.write("medium.ts", body)
        time.sleep(0.05)
        times = 500  # twice what a connection's input has room for
        with server.connect(receive_buffer=65536) as client:
            client.sendall(make_request("/medium.ts") * times)
            reader = Reader(client)
            for _ in range(times):
                self.assertTrue(reader.response().body == body)

    @in_each_way
    def test_half_closed_client_gets_its_answers(self, server):
        with server.connect() as client:
            client.sendall(make_request("/big.ts") * 2)
            client.shutdown(socket.SHUT_WR)
            reader = Reader(client)
            self.assertTrue(reader.response().body == CONTENT)
            self.assertTrue(reader.response().body == CONTENT)
            self.assertEqual(reader.rest_until_close(), b"")

    @in_each_way
    def test_index_page_lists_streams_only(self, server):
        self.write("live/<b>.m3u8", b"")
        self.write("live/.draft.m3u8", b"")
        page = server.get("/")
        self.assertEqual(page["content-type"], "text/html; charset=utf-8")
        text = page.body.decode()
        self.assertIn('<a href="/a.m3u8">a.m3u8</a>', text)
        self.assertIn('<a href="/live/%3Cb%3E.m3u8">live/&#60;b&#62;.m3u8</a>', text)
        self.assertNotIn("draft", text)
        self.assertNotIn("a.ts", text)


if __name__ == "__main__":
    main()
