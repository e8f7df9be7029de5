# SPDX-License-Identifier: MIT
"""What the tests of shm_pipeline share: running it, and reading its table.

The environment says where it is: SHM_PIPELINE. Everything lies in a temporary directory.
"""

import ctypes
import os
import signal
import subprocess
import tempfile
import time

PROGRAM = os.environ.get("SHM_PIPELINE", "")
# Sanitizers make everything slower; time limits grow with it.
PATIENCE = float(os.environ.get("PATIENCE", "1"))

LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child: ends it when the test is killed."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


def start(*words, env=None):
    return subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=env,
                            preexec_fn=die_with_parent)


def table(text):
    """A name and a number a line."""
    rows = {}
    for line in text.splitlines():
        name, number = line.rsplit(None, 1)
        if number.isdigit():
            rows[name.strip()] = int(number)
    return rows


class Done:
    """How a run ended."""

    def __init__(self, process, seconds):
        try:
            self.out, self.err = process.communicate(timeout=seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                self.out, self.err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:  # stages that it left behind have its pipes
                process.stdout.close()
                process.stderr.close()
                self.out, self.err = "", ""
            self.err += "\n(the test lost its patience)"
        self.code = process.returncode
        self.rows = table(self.out)


def run(*options, seconds=120, path=None):
    """A whole run, whose temporary directory must be empty behind it."""
    with tempfile.TemporaryDirectory() as directory:
        env = dict(os.environ, TMPDIR=directory)
        if path is not None:
            env["PATH"] = path
        done = Done(start("run", *options, env=env), seconds)
        assert not os.listdir(directory), os.listdir(directory)
        return done


def eventually(check, seconds=10):
    """Waits until a condition holds. Returns: whether it did."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return bool(check())


def stages_at(path):
    """Pids of processes that were told of a socket, by stage."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if path in words and len(words) > 1:
            found.setdefault(words[1], []).append(int(entry))
    return found
