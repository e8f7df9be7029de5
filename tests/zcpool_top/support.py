# SPDX-License-Identifier: MIT
"""What the tests of zcpool_top share: a program with a pool, and zcpool_top's answers about it.

The environment says where the programs are: ZCPOOL_TOP and POOL_PROGRAM. Everything that is started
is ended by its process id.
"""

import ctypes
import json
import os
import select
import signal
import subprocess

PROGRAM = os.environ.get("ZCPOOL_TOP", "")
POOL_PROGRAM = os.environ.get("POOL_PROGRAM", "")
# Sanitizers make everything slower; time limits grow with it.
PATIENCE = float(os.environ.get("PATIENCE", "1"))
NOBODY = 65534

LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child: ends it when the test is killed."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


class PoolProgram:
    """A running program with a pool, and the partners that it has forked."""

    def __init__(self, kind="shared"):
        self.process = subprocess.Popen([POOL_PROGRAM, kind], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        self.pid = self.process.pid
        self.name = os.path.basename(POOL_PROGRAM)[:15]
        self.partners = []
        ready = self.read_line()
        assert ready == "ready", f"no ready line but {ready!r}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.partners:
            kill(pid)
        self.process.kill()
        self.process.wait(timeout=20 * PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()

    def read_line(self, seconds=20):
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], seconds * PATIENCE)[0]:
                break
            piece = os.read(self.process.stdout.fileno(), 1)
            if not piece:
                break
            line += piece
        return line.decode().rstrip("\n")

    def order(self, *words):
        self.process.stdin.write(b" ".join(word if isinstance(word, bytes) else str(word).encode()
                                           for word in words) + b"\n")
        self.process.stdin.flush()
        return self.read_line()

    def partner(self, name, small=0, large=0, shown=0):
        pid = int(self.order("partner", name, small, large, shown))
        assert pid > 0, "the partner could not do what it was told"
        self.partners.append(pid)
        return pid

    def lose(self, pid):
        """Kills a partner, and waits until it has died; who it was is still known to the system."""
        os.kill(pid, signal.SIGKILL)
        wait_until_dead(pid)

    def inode(self):
        """The number of its control file."""
        folder = f"/proc/{self.pid}/fd"
        for fd in os.listdir(folder):
            if os.readlink(f"{folder}/{fd}") == "/memfd:zcpool-control (deleted)":
                return os.stat(f"{folder}/{fd}").st_ino
        raise AssertionError("no control file")


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_until_dead(pid):
    """Not until it was waited for."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], 20 * PATIENCE)[0], f"{pid} does not die"
    finally:
        os.close(pidfd)


def run(*arguments, user=None):
    def prepare():
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
    return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, check=False, timeout=30 * PATIENCE, text=True,
                          preexec_fn=prepare)


def look(*arguments):
    """One look, as JSON."""
    done = run(*arguments, "--once", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout
    return json.loads(done.stdout)


def look_at(pid):
    """The only pool of a process."""
    pools = look(pid)["pools"]
    assert len(pools) == 1, pools
    return pools[0]


def process_of(pool, pid):
    found = [each for each in pool["processes"] if each["pid"] == pid]
    assert len(found) == 1, pool["processes"]
    return found[0]
