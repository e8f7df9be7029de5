# SPDX-License-Identifier: MIT
"""usage: http_load_test.py PROGRAM. Checks what http_load counts, against a small server."""

import http.server
import subprocess
import sys
import threading

SIZE = 200_000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = 0

    def do_GET(self):
        self.send_response(200 if self.path == "/file" else 404)
        self.send_header("content-LENGTH", str(SIZE))
        self.end_headers()
        try:
            self.wfile.write(bytes(SIZE))
        except ConnectionError:  # the load ends in the middle of an answer
            self.close_connection = True
            return
        Handler.served += 1

    def log_message(self, *_):
        pass


def load(program, server, seconds, *paths):
    address, port = server.server_address
    return subprocess.run([program, f"{address}:{port}", "3", seconds, *paths],
                          capture_output=True, text=True, check=False, timeout=60)


def main():
    program = sys.argv[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a connection that the load resets
    threading.Thread(target=server.serve_forever, daemon=True).start()

    ran = load(program, server, "0.3", "/file")
    assert ran.returncode == 0, ran.stderr
    word, *numbers = ran.stdout.split()
    requests, microseconds, p99, wrong, counted = map(int, numbers)
    assert word == "result" and wrong == 0 and 0 < p99 <= microseconds
    assert microseconds >= 300_000
    # At the end each connection may have one answer that is not whole.
    assert requests <= Handler.served <= requests + 3, (requests, Handler.served)
    assert requests * SIZE <= counted <= (requests + 3) * SIZE, (requests, counted)

    ran = load(program, server, "0.2", "/file", "/missing")
    requests, _, _, wrong, _ = map(int, ran.stdout.split()[1:])
    assert abs(requests - 2 * wrong) <= 6, (requests, wrong)

    server.shutdown()
    server.server_close()
    ran = load(program, server, "0.2", "/file")
    assert ran.returncode == 1 and "connect" in ran.stderr, ran
    for arguments in (["localhost:1", "1", "1", "/"], ["127.0.0.1:1", "0", "1", "/"], []):
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False,
                             timeout=60)
        assert ran.returncode == 2 and ran.stderr, ran


if __name__ == "__main__":
    main()
