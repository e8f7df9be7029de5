# SPDX-License-Identifier: MIT
"""The serving suite: segment_server with each of its sinks and loops, driven by wrk, and again by
http_load, which has the kernel drop the bodies; server and client have one processor each.

wrk reads 8 KiB at a time and is often the limit of a rate; http_load is not, and so what it drives
shows what a server can. The last rows say how much of its processor a client was busy.

Baselines are its own naive mode (a fresh buffer a response: read, copy, send, free) and, where it
is installed, nginx with sendfile; lighttpd and h2o, where they are, stand beside nginx. All servers
stand from the beginning to the end; runs go round through them, so that each meets the same
weather. System calls are counted by strace in a run of their own, whose time is not looked at.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import goals
import pairs

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a player asks for, and which sinks there are: as in the demo.
sys.path.insert(1, str(ROOT / "examples" / "demo"))
import demo  # noqa: E402  # pylint: disable=wrong-import-position

SIZES = {"64 KiB": 64 << 10, "256 KiB": 256 << 10, "1 MiB": 1 << 20}
WORKS = [("64 KiB", 64), ("64 KiB", 256), ("256 KiB", 64), ("1 MiB", 64), ("HLS mix", 64),
         ("HLS mix", 256)]
NAIVE = "segment_server --mode naive"
SECONDS = 1
OWN = "segment_server --sink"

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  open_file_cache max=1000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


LIGHTTPD = """
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-keep-alive-requests = 1000000000
server.max-connections = 1024
server.network-backend = "sendfile"
server.stat-cache-engine = "simple"
"""

H2O = """
listen: {{ host: 127.0.0.1, port: {port} }}
num-threads: 1
pid-file: {folder}/h2o.pid
error-log: /dev/null
hosts: {{ default: {{ paths: {{ /: {{ file.dir: {root} }} }} }} }}
{user}"""


@contextlib.contextmanager
def cubic_network():
    """A loopback of our own whose default congestion control is cubic; yields whether it is so.

    Where the default is bbr, loopback is paced as if it were a long line, and nginx cannot choose.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
            yield False
            return
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            for where in ("127.0.0.0/8", "127.0.0.1"):
                subprocess.run(["ip", "route", "replace", "local", where, "dev", "lo", "table",
                                "local", "congctl", "cubic"], check=True)
            yield accepts_as_cubic()
        finally:
            libc.setns(before, 0)
    finally:
        os.close(before)


def accepts_as_cubic():
    """Whether a connection that says nothing of congestion control gets cubic here."""
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            name = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return name.rstrip(b"\0") == b"cubic"


class Server:
    """A server process on the first processor, until the end of the `with`."""

    def __init__(self, name, command, address=None):
        self.name, self.command, self.address = name, command, address
        self.process = None

    def __enter__(self):
        cpus = sorted(os.sched_getaffinity(0))
        self.process = subprocess.Popen(
            [str(part) for part in self.command], stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus[:1]))
        if self.address is None:
            line = self.process.stdout.readline().split()
            if len(line) != 2 or line[0] != "ready":
                raise RuntimeError(f"{self.name} did not start")
            self.address = line[1]
        else:
            wait_for(self.address)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pids(self):
        """The server and its children."""
        own = self.process.pid
        children = pathlib.Path(f"/proc/{own}/task/{own}/children")
        return [own, *(children.read_text(encoding="ascii").split() if children.exists() else ())]

    def cpu_ns(self):
        """Processor time of the server and of its children so far."""
        clocks = [clock for pid in self.pids()
                  for clock in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(clock.read_text(encoding="ascii").split()[0]) for clock in clocks)


def wait_for(address):
    host, port = address.rsplit(":", 1)
    for _ in range(100):
        try:
            socket.create_connection((host, int(port))).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens at {address}")


def make_root(build, folder):
    """Files of the sizes, and the HLS ladder where there is one. Returns: paths by name of work."""
    root = folder / "root"
    root.mkdir()
    paths = {}
    for name, size in SIZES.items():
        file = f"{size}.ts"
        (root / file).write_bytes(os.urandom(size))
        paths[name] = [f"/{file}"]
    # Where cmake/dev.sh has it, too; made only if it is not there yet.
    ladder = build.parent / "ladder"
    if shutil.which("ffmpeg"):
        subprocess.run(["sh", str(ROOT / "cmake" / "ladder.sh"), str(ladder)], check=True)
        for container in ("ts", "fmp4"):
            shutil.copytree(ladder / container, root / container)
        paths["HLS mix"] = demo.playable(ladder)
    return root, paths


class Wrk:
    """wrk, asking for some paths in turn."""

    name = ""  # of its works: what everybody uses needs no name

    def __init__(self, folder, files, paths, connections):
        self.connections = connections
        self.script = folder / (files.replace(" ", "-") + ".lua")
        listed = ", ".join(f'"{path}"' for path in paths)
        # wrk prepares a single request by itself; of several, the text is made once.
        asking = f'wrk.path = "{paths[0]}"' if len(paths) == 1 else f"""
local requests, at = {{}}, 0
init = function()
  for _, path in ipairs({{{listed}}}) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end"""
        self.script.write_text(asking + """
done = function(summary, latency)
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  print(string.format("result %d %d %.1f %d %d", summary.requests, summary.duration,
    latency:percentile(99), wrong, summary.bytes))
end
""", encoding="ascii")

    def command(self, address, seconds):
        return ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "-s", self.script,
                f"http://{address}/"]


class Load:
    """http_load, asking for some paths in turn."""

    name = ", bodies dropped"

    def __init__(self, program, paths, connections):
        self.program, self.paths, self.connections = program, paths, connections

    def command(self, address, seconds):
        return [self.program, address, str(self.connections), str(seconds), *self.paths]


def drive(server, client, seconds):
    """One run. Returns: what it came to, by the measure."""
    cpus = sorted(os.sched_getaffinity(0))
    before, client_before = server.cpu_ns(), children_s()
    ran = subprocess.run(client.command(server.address, seconds), capture_output=True, text=True,
                         check=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus[-1:]))
    spent, client_spent = server.cpu_ns() - before, children_s() - client_before
    found = re.search(r"^result (\d+) (\d+) ([\d.]+) (\d+) (\d+)$", ran.stdout, re.MULTILINE)
    requests, microseconds, wrong = int(found[1]), int(found[2]), int(found[4])
    p99 = float(found[3])
    if wrong or requests == 0:
        raise RuntimeError(f"{server.name}: {wrong} wrong answers of {requests}\n{ran.stdout}")
    return {"rate": requests * 1e6 / microseconds, "cpu": spent / 1e3 / requests,
            "per_gb": spent / int(found[5]), "p99": p99 / 1e3, "requests": requests,
            "client": client_spent * 1e6 / microseconds}


def children_s():
    """Processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def calls_a_request(server, client, folder):
    """System calls of a server for each request, counted while it is slowed down by that."""
    counts = folder / "calls"
    tracer = subprocess.Popen(["strace", "-f", "-c", "-qq", "-o", counts,
                               *(f"-p{pid}" for pid in server.pids())])
    time.sleep(0.3)
    requests = drive(server, client, 1)["requests"]
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    total = re.search(r"^100\.00 +\S+ +\S+ +(\d+)", counts.read_text(encoding="ascii"),
                      re.MULTILINE)
    return int(total[1]) / requests


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def peers(root, folder):
    """The servers of others that are installed, and that would speak cubic here."""
    user = "user: root\n" if os.getuid() == 0 else ""
    for name, text, command in (
            ("nginx", NGINX, ["nginx", "-p", folder, "-c"]),
            ("lighttpd", LIGHTTPD, ["lighttpd", "-D", "-f"]),
            ("h2o", H2O, ["h2o", "-m", "worker", "-c"])):
        if not shutil.which(name):
            print(f"serving: {name} is not installed, so its rows are missing", file=sys.stderr)
            continue
        port = free_port()
        config = folder / f"{name}.conf"
        config.write_text(text.format(folder=folder, root=root, port=port, user=user),
                          encoding="ascii")
        yield Server(name, [*command, config], f"127.0.0.1:{port}")


def servers(build, root, folder, has_cubic):
    program = build / "examples" / "segment_server" / "segment_server"
    # A look at a file is believed for a second: nginx believes it for a minute (open_file_cache).
    # The files fit into the pool, so that arenas lose nothing.
    common = [program, "--root", root, "--listen", "127.0.0.1:0", "--threads", "1",
              "--pool-bytes", "268435456", "--recheck-ms", "1000", "--arenas", "auto"]
    if demo.has_congestion_control("cubic"):
        common += ["--congestion", "cubic"]
    made = [Server(NAIVE, [*common, "--mode", "naive"])]
    sinks = demo.sinks_of(program)
    for sink in sinks:
        made.append(Server(f"{OWN} {sink}", [*common, "--mode", "pool", "--sink", sink]))
    if "uring" in sinks:
        for sink in sinks:
            made.append(Server(f"{OWN} {sink} --loop uring",
                               [*common, "--mode", "pool", "--sink", sink, "--loop", "uring"]))
    if has_cubic:
        made += peers(root, folder)
    else:
        print("serving: no network namespace with cubic as the default, so the servers of others "
              "are left out", file=sys.stderr)
    return made


def best_of(names, runs):
    """The server with the highest rate; of those within 5 % of it, where wrk may be the limit, the
    one that spends least."""
    def median(name, key):
        return statistics.median(each[name][key] for each in runs)

    highest = max(median(name, "rate") for name in names)
    return min((name for name in names if median(name, "rate") >= 0.95 * highest),
               key=lambda name: median(name, "cpu"))


def rows_of(work, runs, names):
    """`runs`: a list of {server: measures, "trips": [...]}, one element a round."""
    rows, raw = [], []
    own = [name for name in names if name.startswith(OWN)]
    best = best_of(own, runs)
    compared = [(best, baseline, True) for baseline in names if baseline not in own]
    usual = "nginx" if "nginx" in names else NAIVE
    compared += [(subject, usual, False) for subject in names if subject not in (best, usual)]
    for subject, baseline, is_best in compared:
        for unit, key in goals.SERVING_UNITS.items():
            if key not in runs[0][subject]:
                continue  # strace is not installed
            row, behind = pairs.row_of(
                "serving", work, (goals.BEST if is_best else "") + subject, baseline, unit,
                [(each[subject][key], each[baseline][key], each["trips"]) for each in runs])
            row["goal"] = goals.serving_goal(work, baseline, key) if is_best else None
            rows.append(row)
            raw.append(behind)
    return rows, raw


def rounds_of(work, client, standing, rounds, build):
    """Returns: {server: measures, "trips": [...]} of each round."""
    runs = []
    for number in range(rounds):
        print(f"\rserving: {work}, round {number + 1} of {rounds} ", end="", file=sys.stderr,
              flush=True)
        order = standing if number % 2 == 0 else standing[::-1]
        trips = [round_trip(build)]
        measures = {each.name: drive(each, client, SECONDS) for each in order}
        trips.append(round_trip(build))
        runs.append({**measures, "trips": trips})
    print(file=sys.stderr)
    return runs


def run(_, build, wanted_runs, quick):
    """Returns: rows, and the runs behind them."""
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is not installed")
    rounds = 1 if quick else wanted_runs or 5
    rows, raw = [], []
    with tempfile.TemporaryDirectory() as name, cubic_network() as has_cubic:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # nginx's worker is another user
        root, paths = make_root(build, folder)
        standing = []
        try:
            for each in servers(build, root, folder, has_cubic):
                standing.append(each.__enter__())
            for files, connections in WORKS:
                if files not in paths:
                    print(f"serving: {files}: there is no ffmpeg to make the ladder",
                          file=sys.stderr)
                    continue
                work = f"{files}, {connections}" + (" connections" if connections == 64
                                                    and files == "64 KiB" else "")
                wrk = Wrk(folder, files, paths[files], connections)
                load = Load(build / "benchmarks" / "http_load", paths[files], connections)
                for each in standing:  # every file read once, every connection buffer grown
                    drive(each, wrk, 1)
                calls = {each.name: {"calls": calls_a_request(each, wrk, folder)}
                         for each in standing} if shutil.which("strace") else {}
                for client in (wrk, load):
                    runs = rounds_of(work + client.name, client, standing, rounds, build)
                    for each in runs:
                        for name, measure in calls.items():
                            each[name].update(measure)
                    new_rows, new_raw = rows_of(work + client.name, runs,
                                                [each.name for each in standing])
                    rows += new_rows
                    raw += new_raw
        finally:
            for each in reversed(standing):
                each.__exit__()
    return rows, raw


def round_trip(build):
    """Nanoseconds of a cache line between the processors."""
    found = pairs.run_program(build / "benchmarks" / "ring.bench",
                              "--benchmark_filter=^cache line round trip")
    return statistics.median(pairs.trips(found[0]))
