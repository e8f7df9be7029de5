# SPDX-License-Identifier: MIT
"""What the tests of segment_server share: a server of their own, and a client that sends any bytes.

Every test starts its server on a port that the system chooses and ends it by its process id. The
environment says where things are: SEGMENT_SERVER (the program), LADDER (a directory made by
cmake/ladder.sh); and LOOP, which event loop is tested.
"""

import contextlib
import ctypes
import errno
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ.get("SEGMENT_SERVER", "")
LADDER = os.environ.get("LADDER", "")
# Sanitizers make everything slower; time limits grow with it.
PATIENCE = float(os.environ.get("PATIENCE", "1"))

SKIPPED = 77  # the exit code that ctest knows

LIBC = ctypes.CDLL(None, use_errno=True)


def has_io_uring():
    """Whether this process may have an io_uring: the setup fails for its arguments, not before."""
    io_uring_setup = 425
    return LIBC.syscall(io_uring_setup, 0, None) != 0 and ctypes.get_errno() in (errno.EINVAL,
                                                                                 errno.EFAULT)


def sinks_of(program):
    """The names that --sink can have, from the program itself."""
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    return re.search(r"--sink\s[^{]*\{([^}]*)\}", done.stdout).group(1).split(",")


# Every way of serving that --sink and --mode can name, as far as this system has them.
ALL_SINKS = sinks_of(PROGRAM) if PROGRAM else []
URING_IS_BUILT = "uring" in ALL_SINKS
HAS_URING = URING_IS_BUILT and has_io_uring()
SINKS = [sink for sink in ALL_SINKS if sink not in ("uring", "linked_splice") or HAS_URING]
WAYS = (*(["--sink", sink] for sink in SINKS), ["--mode", "naive"])
# The event loop of every server that is not told otherwise: the tests run with both.
LOOP = os.environ.get("LOOP", "epoll")


def die_with_parent():
    """In a child: ends it when the test is killed, so that no server outlives its test."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


class Server:
    """A running segment_server. Ends it, and checks how it ended, when the `with` block is left."""

    def __init__(self, root, *options, wrapper=(), threads=2, exit_code=0):
        self.expected_exit_code = exit_code
        # A pool that is quick to make, and has room for the ladder.
        defaults = {"--loop": LOOP, "--pool-bytes": "64MiB"}
        given = [word for option, value in defaults.items() if option not in options
                 for word in (option, value)]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*wrapper, PROGRAM, "--root", str(root), "--listen", "127.0.0.1:0", "--threads",
             str(threads), *given, *options], stdout=subprocess.PIPE, stderr=self.errors,
            preexec_fn=die_with_parent)
        line = read_line(self.process.stdout, 20 * PATIENCE)
        if not line.startswith(b"ready "):
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no ready line but {line!r}; {self.error_text()}")
        host, port = line.split()[1].decode().rsplit(":", 1)
        self.address = (host, int(port))
        self.url = f"http://{host}:{port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        """Of the server itself, which a wrapper runs as its child."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        try:
            name = os.path.basename(os.readlink(f"/proc/{self.process.pid}/exe"))
        except FileNotFoundError:  # It has ended, and stop() will say how.
            return self.process.pid
        if name == os.path.basename(PROGRAM):
            return self.process.pid
        with open(children, encoding="ascii") as file:
            return int(file.read().split()[0])

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def terminate(self):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def stop(self):
        self.terminate()
        try:
            code = self.process.wait(timeout=30 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end; {self.error_text()}") from None
        finally:
            self.process.stdout.close()
        said = self.error_text()
        self.errors.close()
        if code != self.expected_exit_code:
            raise AssertionError(f"exit code {code}; {said}")

    def connect(self, timeout=10, receive_buffer=None):
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(timeout * PATIENCE)
        try:
            client.connect(self.address)
        except OSError:
            client.close()
            raise
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def ask(self, request, timeout=10):
        """Sends bytes on a connection of their own. Returns: the first response."""
        with self.connect(timeout) as client:
            client.sendall(request)
            return Reader(client).response(is_head=request.startswith(b"HEAD "))

    def get(self, path, *fields, method="GET"):
        return self.ask(make_request(path, *fields, method=method))

    def metrics(self):
        response = self.get("/metrics")
        return parse_metrics(response.body.decode())

    def answered(self):
        """How many responses it has sent."""
        return sum(count for name, count in self.metrics().items()
                   if name.startswith("responses_total"))


def read_line(pipe, seconds):
    """A line from a pipe, or what there is of it when the time is up."""
    line = b""
    deadline = time.monotonic() + seconds
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            break
        piece = os.read(pipe.fileno(), 1)
        if not piece:
            break
        line += piece
    return line


def make_request(path, *fields, method="GET", close=False):
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *fields]
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Response:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def __getitem__(self, name):
        return self.fields.get(name.lower())

    @property
    def closes(self):
        return (self["connection"] or "").lower() == "close"


class Reader:
    """Reads responses from a socket, one after the other."""

    def __init__(self, client):
        self.client = client
        self.rest = b""

    def more(self):
        piece = self.client.recv(1 << 18)
        self.rest += piece
        return bool(piece)

    def response(self, is_head=False):
        """Returns: the next response, or None when the peer closes instead."""
        while b"\r\n\r\n" not in self.rest:
            if not self.more():
                assert not self.rest, f"half a head: {self.rest[:200]!r}"
                return None
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z ]+", lines[0])
        assert match, f"no status line: {lines[0]!r}"
        status = int(match.group(1))
        fields = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in fields, f"twice: {name}"
            fields[name.lower()] = value
        length = 0 if is_head or status == 304 else int(fields["content-length"])
        return Response(status, fields, self.take(length))

    def take(self, length):
        pieces = [self.rest]
        have = len(self.rest)
        while have < length:
            piece = self.client.recv(min(1 << 20, length - have + 65536))
            assert piece, f"closed after {have} of {length} octets"
            pieces.append(piece)
            have += len(piece)
        everything = b"".join(pieces)
        self.rest = everything[length:]
        return everything[:length]

    def rest_until_close(self):
        """What comes before the peer closes."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        return self.rest


def parse_metrics(text):
    """{name with labels: number}; fails on anything that is not the text exposition format."""
    values = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# "):
            match = re.fullmatch(r"# (HELP [a-z_]+ .+|TYPE ([a-z_]+) (counter|gauge))", line)
            assert match, line
            if match.group(2):
                assert match.group(2) not in typed, f"typed twice: {line}"
                typed.add(match.group(2))
            continue
        label = r'[a-z]+="[^"]*"'
        match = re.fullmatch(rf"([a-z_]+)(\{{{label}(?:,{label})*\}})? ([0-9.e+-]+)", line)
        assert match, line
        assert match.group(1) in typed, f"not typed: {line}"
        name = match.group(1).removeprefix("segment_server_") + (match.group(2) or "")
        assert name not in values, f"twice: {line}"
        values[name] = float(match.group(3))
    return values


def ladder_files():
    """Paths of all files of the ladder, relative to it."""
    found = []
    for folder, _, names in os.walk(LADDER):
        for name in names:
            if not name.startswith("."):
                found.append(os.path.relpath(os.path.join(folder, name), LADDER))
    return sorted(found)


def eventually(check, seconds=5):
    """Waits until a condition holds. Returns: whether it did."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return bool(check())


class Case(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="zcpool-server-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def write(self, name, content):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path


def main():
    assert PROGRAM, "SEGMENT_SERVER is not set"
    if LOOP == "uring" and not HAS_URING:
        print("io_uring is not to be had")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
