# SPDX-License-Identifier: MIT
"""What the figures should come to, as ratios of subject to baseline; and whether they do."""

HEAPS = ("malloc/free", "tcmalloc", "mimalloc", "jemalloc", "tbb")
# The lock-free queues of others, and those that keep no order between producers or where a thread
# may have to wait for another.
FREE_RINGS = ("SCQ", "boost::lockfree::queue", "cds::MSQueue")
RINGS = (*FREE_RINGS, "moodycamel", "Vyukov", "cds::Vyukov", "atomic_queue", "tbb", "DPDK rte_ring")
# What carries bytes from one process to another.
CHANNELS = ("boost::lockfree::spsc_queue", "pipe", "AF_UNIX", "POSIX message queue")
MIX = "random mix of four classes, 64 outstanding, 64 B touched"
STOPPED = "a thread stopped at a random instruction"

# (suite, work, subject begins with, baseline begins with): goal. None as work: any; None as
# baseline: the value itself, of a row that has none.
GOALS = [
    ("core", "one thread", "zcpool", "limit", "<= 1.9"),
    ("core", "first 64 B touched", "zcpool", "limit", "<= 1.4"),
    ("core", "1 MiB, one thread", "zcpool", "limit", "<= 1.9"),
    ("core", "two threads, each its own", "zcpool", "zcpool, one thread", "<= 1"),
    ("core", "one thread", "zcpool", "DPDK", "<= 0.45"),
    ("core", "bursts of 256 outstanding", "zcpool", "DPDK", "<= 0.8"),
    ("core", MIX, "zcpool", "DPDK", "<= 0.85"),
    ("core", "acquired in one thread, released in another", "zcpool", "DPDK", "<= 1.1"),
    *(("core", "acquired in one thread, released in another", "zcpool", heap, "<= 0.2")
      for heap in HEAPS),
    ("core", "the same, 1 MiB, every byte written and read", "zcpool", "limit", "<= 1.15"),
    # 3.5 times as fast.
    ("core", "the same, 1 MiB, every byte written and read", "zcpool", "DPDK", "<= 0.286"),
    ("ring", "1 thread", "zcpool::index_ring", "SCQ", "<= 1"),
    *(("ring", "2 threads mixed", "zcpool::index_ring", ring, "<= 1") for ring in FREE_RINGS),
    *(("ring", "2 threads mixed", "zcpool::bitmap_store", ring, "<= 0.5")
      for ring in ("zcpool::index_ring", *RINGS)),
    ("ring", "4 threads on 2 cores", "zcpool::index_ring", "SCQ", "<= 1"),
    ("ring", "4 threads on 2 cores", "zcpool::bitmap_store", "zcpool::bitmap_store, 2", "<= 1"),
    ("ring", "4 threads on 2 cores, one operation, p99.9", "zcpool::index_ring", None, "<= 300"),
    ("ring", "producer to consumer", "zcpool::index_ring", "SCQ", "<= 1.2"),
    ("ring", STOPPED, "zcpool", None, "== 0"),
    *(("ipc", size, "zcpool::byte_", peer, ">= 1")
      for size in ("64 B messages", "1 KiB messages", "64 KiB messages") for peer in CHANNELS),
    *(("ipc", f"{size} frame there and back, {how}, p50", "zcpool::channel", "limit", goal)
      for size in ("4 KiB", "64 KiB", "1 MiB", "8 MiB")
      for how, goal in (("spinning", "<= 2"), ("sleeping", "<= 1.05"))),
    ("include", "compile", "<zcpool/zcpool.hpp>", "<expected>", "<= 1.5"),
    ("sinks", None, "sink::write", "bare sendmsg loop", "<= 1.03"),
    ("sinks", None, "sink::sendfile", "bare sendfile loop", "<= 1.03"),
    ("sinks", None, "sink::splice", "bare splice loop", "<= 1.03"),
    ("sinks", None, "sink::vmsplice", "bare vmsplice loop", "<= 1.03"),
    ("sinks", None, "sink::zerocopy", "bare MSG_ZEROCOPY loop", "<= 1.03"),
    ("sinks", None, "sink::uring", "bare io_uring loop", "<= 1.03"),
    ("sinks", None, "sink::automatic", "sink::", "<= 1.05"),
    ("sinks", None, "automatic, from slots", "sink::write", "<= 1.05"),
    ("sinks", None, "automatic, from anonymous arenas", "write (the copying way)", "<= 0.7"),
    ("sinks", None, "vmsplice from anonymous arenas", "write (the copying way)", "<= 0.7"),
    ("sinks", None, "vmsplice from arenas", "write (the copying way)", "<= 0.7"),
    ("sinks", None, "sendfile from arenas", "write (the copying way)", "<= 0.7"),
]


def goal_of(suite, work, subject, baseline):
    for of_suite, of_work, of_subject, of_baseline, goal in GOALS:
        if (suite == of_suite and of_work in (None, work) and subject.startswith(of_subject)
                and (baseline is None) == (of_baseline is None)
                and (baseline is None or baseline.startswith(of_baseline))):
            return goal
    return None


# Work of the serving suite: goals for the rate, the processor time a request and p99, as ratios to
# nginx.
SERVING = {
    ("64 KiB, 64 connections", "nginx"): (">= 1.6", "<= 0.62", "<= 0.65"),
    ("64 KiB, 256", "nginx"): (">= 1.4", "<= 0.72", None),
    ("256 KiB, 64", "nginx"): (">= 1.04", "<= 0.8", "<= 0.25"),
    ("1 MiB, 64", "nginx"): (">= 1.05", None, None),
    ("HLS mix, 64", "nginx"): (">= 1.3", None, None),
    ("HLS mix, 256", "nginx"): (">= 1.4", None, None),
    ("1 MiB, 64, bodies dropped", "nginx"): (">= 0.98", "<= 0.87", None),
}


# How the rows of the best of our servers begin.
BEST = "best: "
# What the rows of the serving suite are, by their unit.
SERVING_UNITS = {"requests/s": "rate", "us CPU a request": "cpu", "CPU-s a GB": "per_gb",
                 "ms at p99": "p99", "system calls a request": "calls",
                 "of the client's processor": "client"}


def serving_goal(work, baseline, measure):
    """The goal of a row of the serving suite, for the best sink."""
    found = SERVING.get((work, baseline), (None, None, None))
    return dict(zip(("rate", "cpu", "p99"), found)).get(measure)


def is_met(row):
    """Whether a row's ratio, or its value where it has no baseline, is what its goal says."""
    number = row["value"] if row["ratio"] is None else row["ratio"]
    sign, bound = row["goal"].split()
    # A ratio is good to three digits at best.
    number = round(number, 3)
    return {"<=": number <= float(bound), ">=": number >= float(bound),
            "==": number == float(bound)}[sign]
