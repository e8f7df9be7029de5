# SPDX-License-Identifier: MIT
"""What the figures should come to, as ratios of subject to baseline; and whether they do."""

HEAPS = ("malloc/free", "tcmalloc", "mimalloc")

# (suite, work, subject begins with, baseline begins with): goal. None as work: any.
GOALS = [
    ("core", "one thread", "zcpool", "limit", "<= 1.9"),
    ("core", "first 64 B touched", "zcpool", "limit", "<= 1.4"),
    ("core", "1 MiB, one thread", "zcpool", "limit", "<= 1.9"),
    ("core", "two threads, each its own", "zcpool", "zcpool, one thread", "<= 1"),
    *(("core", "acquired in one thread, released in another", "zcpool", heap, "<= 0.2")
      for heap in HEAPS),
    ("core", "the same, 1 MiB, every byte written and read", "zcpool", "limit", "<= 1.15"),
    ("ring", "1 thread", "zcpool::index_ring", "SCQ", "<= 1"),
    ("ring", "2 threads mixed", "zcpool::index_ring", "SCQ", "<= 1"),
    ("ring", "2 threads mixed", "zcpool::index_ring", "boost::lockfree::queue", "<= 1"),
    *(("ring", "2 threads mixed", "zcpool::bitmap_store", ring, "<= 0.5")
      for ring in ("zcpool::index_ring", "SCQ", "Vyukov", "boost::lockfree::queue")),
    ("ring", "4 threads on 2 cores", "zcpool::index_ring", "SCQ", "<= 1"),
    ("ring", "4 threads on 2 cores", "zcpool::bitmap_store", "zcpool::bitmap_store, 2", "<= 1"),
    ("sinks", None, "sink::write", "bare sendmsg loop", "<= 1.03"),
    ("sinks", None, "sink::sendfile", "bare sendfile loop", "<= 1.03"),
]


def goal_of(suite, work, subject, baseline):
    for of_suite, of_work, of_subject, of_baseline, goal in GOALS:
        if (suite == of_suite and of_work in (None, work) and subject.startswith(of_subject)
                and baseline.startswith(of_baseline)):
            return goal
    return None


# Work of the serving suite: goals for the rate, the processor time a request and p99, as ratios to
# nginx and to the naive mode.
SERVING = {
    ("64 KiB, 64 connections", "nginx"): (">= 1.6", "<= 0.62", "<= 0.65"),
    ("64 KiB, 256", "nginx"): (">= 1.4", "<= 0.72", None),
    ("256 KiB, 64", "nginx"): (">= 1.04", "<= 0.8", "<= 0.25"),
    ("1 MiB, 64", "nginx"): (">= 1.05", None, None),
    ("HLS mix, 64", "nginx"): (">= 1.3", None, None),
    ("HLS mix, 256", "nginx"): (">= 1.4", None, None),
}


def serving_goal(work, baseline, measure):
    """The goal of a row of the serving suite. They are for the best sink, not for each."""
    found = SERVING.get((work, baseline), (None, None, None))
    return found[("rate", "cpu", "p99").index(measure)]


def is_met(row):
    """Whether a row's ratio, or its value where it has no baseline, is what its goal says."""
    number = row["value"] if row["ratio"] is None else row["ratio"]
    sign, bound = row["goal"].split()
    # A ratio is good to three digits at best.
    number = round(number, 3)
    return {"<=": number <= float(bound), ">=": number >= float(bound),
            "==": number == float(bound)}[sign]
