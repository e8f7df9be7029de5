#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""demo.py --build DIRECTORY: what a pool is good for, in one table.

Serves a real HLS ladder with segment_server, first the naive way, then out of the pool with every
sink, and drives each with wrk. The server has one core to itself and wrk another. Before that,
every file of the ladder is fetched and its checksum compared. Ends by itself, and leaves nothing
behind.
"""

import argparse
import ctypes
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SECONDS = 4
CONNECTIONS = 64
HERE = pathlib.Path(__file__).resolve().parent

# A real player reads a playlist now and then, and segments all the time.
MIX = """
local paths = {%s}
local index = 0
request = function()
  index = index %% #paths + 1
  return wrk.format("GET", paths[index])
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("result %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
"""


LIBC = ctypes.CDLL(None)


def die_with_parent():
    """In a child: ends it when the demo is killed, so that no server outlives it."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


class Failure(Exception):
    """What ends the demo, in words."""


class Server:
    """A segment_server on one core, ended when the `with` block is left."""

    def __init__(self, program, root, core, options):
        command = [*pinned(core), str(program), "--root", str(root), "--listen", "127.0.0.1:0",
                   "--threads", "1", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.process.wait()
            raise Failure(f"segment_server did not start: {' '.join(command)}")
        self.address = line.split()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def has_sink(self, name):
        """Whether it sends as it was told; if not, it has said why."""
        return any(each.startswith("info{") and f'sink="{name}"' in each for each in self.metrics())

    def metrics(self):
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        samples = re.findall(r"^segment_server_(\S+) (\S+)$", text, re.M)
        return {name: float(value) for name, value in samples}


def pinned(core):
    """The words in front of a command that keep it on a core; none where that cannot be."""
    return ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []


def cores():
    """One core for the server and one for the load, if there are two."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


def playable(ladder):
    """What a player asks for, as often as it does: a playlist a round, then its segments."""
    paths = []
    for playlist in sorted(ladder.glob("*/*.m3u8")):
        folder = playlist.parent.name
        paths.append(f"/{folder}/{playlist.name}")
        paths += [f"/{folder}/{line}" for line in playlist.read_text(encoding="utf-8").split("\n")
                  if line and not line.startswith("#") and not line.endswith(".m3u8")]
    return paths


def check_every_byte(server, ladder):
    """Fetches all files, twice: from disk, then from the pool. Returns: how many bytes."""
    total = 0
    connection = http.client.HTTPConnection(server.address, timeout=10)
    for _ in range(2):
        for path in sorted(ladder.glob("*/*")):
            connection.request("GET", f"/{path.parent.name}/{path.name}")
            served = connection.getresponse().read()
            if hashlib.sha256(served).digest() != hashlib.sha256(path.read_bytes()).digest():
                raise Failure(f"{path}: what was served is not what is on disk")
            total += len(served)
    connection.close()
    return total


def drive(server, script, core, seconds):
    """One run of wrk. Returns: its figures, and what the server's counters grew by meanwhile."""
    before = server.metrics()
    command = [*pinned(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
               "-s", str(script), f"http://{server.address}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=60)
    after = server.metrics()
    match = re.search(r"^result (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
    if not match:
        raise Failure(f"wrk failed: {done.stderr or done.stdout}")
    requests, duration, octets, median, slow, errors = map(int, match.groups())
    if errors or not requests:
        raise Failure(f"wrk saw {errors} errors in {requests} requests")
    grown = {name: after[name] - before[name] for name in after}
    served = grown['responses_total{code="200"}']
    return {
        "rate": requests / (duration / 1e6),
        "throughput": octets / (duration / 1e6) / 1e9,
        "median": median / 1000,
        "slow": slow / 1000,
        "cpu": grown["cpu_seconds_total"] / (grown["sent_bytes_total"] / 1e9),
        "faults": grown["minor_faults_total"] / served,
        "allocations": grown["allocations_total"] / served,
    }


def measure(program, ladder, script, options):
    """Checks, warms up and drives one way of serving. Returns: nothing where it cannot be had."""
    server_core, load_core = cores()
    with Server(program, ladder, server_core, options) as server:
        if "--sink" in options and not server.has_sink(options[-1]):
            return None
        checked = check_every_byte(server, ladder)
        drive(server, script, load_core, 1)
        return drive(server, script, load_core, SECONDS), checked


def print_table(rows):
    header = ("", "requests/s", "GB/s", "p50 ms", "p99 ms", "CPU-s/GB", "faults/req", "allocs/req",
              "CPU:naive", "req/s:naive")
    naive = rows[0][1]
    lines = [header]
    for name, row in rows:
        lines.append((name, f"{row['rate']:,.0f}", f"{row['throughput']:.2f}",
                      f"{row['median']:.2f}", f"{row['slow']:.2f}", f"{row['cpu']:.3f}",
                      f"{row['faults']:.3f}", f"{row['allocations']:.3f}",
                      f"{row['cpu'] / naive['cpu']:.2f}", f"{row['rate'] / naive['rate']:.2f}"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(line, widths))))


def sinks_of(program):
    """The names that --sink can have, from the program itself."""
    done = subprocess.run([str(program), "--help"], capture_output=True, text=True, check=True)
    match = re.search(r"--sink\s[^{]*\{([^}]*)\}", done.stdout)
    if not match:
        raise Failure("segment_server --help names no sinks")
    return match.group(1).split(",")


def has_congestion_control(name):
    allowed = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    return allowed.exists() and name in allowed.read_text(encoding="ascii").split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True, type=pathlib.Path,
                        help="where it was built, in release mode")
    parser.add_argument("--ladder", type=pathlib.Path,
                        help="made by cmake/ladder.sh (default: build/ladder)")
    arguments = parser.parse_args()
    program = arguments.build.resolve() / "examples/segment_server/segment_server"
    ladder = (arguments.ladder or HERE.parent.parent / "build/ladder").resolve()
    if not program.exists() or not (ladder / "ts/master.m3u8").exists():
        raise Failure(f"{program} and {ladder} are needed; `sh cmake/dev.sh demo` makes both")

    common = ["--congestion", "cubic"] if has_congestion_control("cubic") else []
    ways = [("naive: a buffer a response", ["--mode", "naive"])]
    ways += [(f"pool, {name}", ["--sink", name]) for name in sinks_of(program)]
    paths = playable(ladder)
    rows = []
    with tempfile.TemporaryDirectory(prefix="zcpool-demo-") as directory:
        script = pathlib.Path(directory) / "mix.lua"
        script.write_text(MIX % ", ".join(f'"{path}"' for path in paths), encoding="ascii")
        for name, options in ways:
            print(f"... {name}", file=sys.stderr)
            measured = measure(program, ladder, script, [*common, *options])
            if measured:
                row, checked = measured
                rows.append((name, row))

    print(f"\nAn HLS ladder ({len(paths)} playlists and segments, MPEG-TS and fMP4) to "
          f"{CONNECTIONS} connections of wrk, {SECONDS} s each;\nthe server on one core, wrk on "
          f"another; congestion control: {'cubic' if common else 'the default of the system'}.\n")
    print_table(rows)
    print(f"\nChecksums: in each of the {len(rows)} ways, all {checked:,} bytes that were served "
          "were right.")
    return 0


if __name__ == "__main__":
    started = time.monotonic()
    # So that whoever ends the demo ends the server, too, and the files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = main()
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    print(f"({time.monotonic() - started:.0f} s)", file=sys.stderr)
    sys.exit(code)
