# SPDX-License-Identifier: MIT
"""What the tests of the relay share: a relay of their own, and peers that it relays to.

Every test starts its relay on a port that the system chooses and ends it by its process id. The
environment says where it is: RELAY.
"""

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

PROGRAM = os.environ.get("RELAY", "")
# Sanitizers make everything slower; time limits grow with it.
PATIENCE = float(os.environ.get("PATIENCE", "1"))

# Past the process, and through it.
MODES = ([], ["--inspect"])

LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child: ends it when the test is killed."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


class Relay:
    """A running relay. Ends it, and checks how it ended, when the `with` block is left."""

    def __init__(self, to, *options):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PROGRAM, "--listen", "127.0.0.1:0", "--to", f"{to[0]}:{to[1]}", *options],
            stdout=subprocess.PIPE, stderr=self.errors, preexec_fn=die_with_parent)
        line = self.read_line(20)
        assert line.startswith("ready "), f"no ready line but {line!r}; {self.error_text()}"
        host, port = line.split()[1].rsplit(":", 1)
        self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def read_line(self, seconds=10):
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], seconds * PATIENCE)[0]:
                break
            piece = os.read(self.process.stdout.fileno(), 1)
            if not piece:
                break
            line += piece
        return line.decode()

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def statistics(self):
        """What it says of itself when it is asked."""
        self.process.send_signal(signal.SIGUSR1)
        return parse(self.read_line())

    def stop(self):
        """Ends it. Returns: its last words."""
        if self.process.stdout.closed:
            return None
        self.process.terminate()
        try:
            code = self.process.wait(timeout=30 * PATIENCE)
            last = self.process.stdout.read().decode()
        finally:
            self.process.kill()
            self.process.stdout.close()
            said = self.error_text()
            self.errors.close()
        assert code == 0, f"exit code {code}; {said}"
        return parse(last.splitlines()[-1])

    def connect(self, receive_buffer=None, timeout=20):
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(timeout * PATIENCE)
        try:
            client.connect(self.address)
        except OSError:
            client.close()
            raise
        return client

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) << 10

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def parse(line):
    words = line.split()
    assert words and words[0] == "statistics", f"no statistics but {line!r}"
    return {name: int(value) for name, value in (word.split("=") for word in words[1:])}


class Peer:
    """A listener whose connections the test takes one by one."""

    def __init__(self, receive_buffer=None):
        self.listener = socket.socket()
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.settimeout(20 * PATIENCE)
        self.address = self.listener.getsockname()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        taken = self.listener.accept()[0]
        taken.settimeout(20 * PATIENCE)
        return taken


def read_to_end(connection):
    pieces = []
    while piece := connection.recv(1 << 18):
        pieces.append(piece)
    return b"".join(pieces)


def in_background(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def eventually(check, seconds=5):
    """Waits until a condition holds. Returns: whether it did."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return bool(check())
