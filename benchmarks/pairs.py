# SPDX-License-Identifier: MIT
"""The suites that are Google Benchmark programs: runs them and makes rows of paired runs.

Two shapes of program. In core, chain, ring and ipc a benchmark is named "work | subject"; the
program is run as a whole several times, and the figures of one such pass are a pair. Most have one
figure, nanoseconds an item, or gigabytes a second where bytes are counted; some have percentiles,
and where threads are stopped there are two counts. In
sinks it is named "work | subject | baseline" and does both in turns itself; each repetition is a
pair.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import goals
import steady_state

# Up to here two processors count as near, by the round trip of a cache line in nanoseconds.
NEAR = 200
SUFFIX = re.compile(r"/(iterations:|manual_time|repeats:|min_time:|real_time).*$")
OWN = "zcpool"
# What a program says of a peer that it does not have.
LEFT_OUT = "left out: "
said = set()
# The unit of the rows that are stalls of threads.
STALLS = "of 1,000 stops"
# The unit of the rows that count bytes.
RATE = "GB/s"
# Rows that are percentiles: what the program counts, in nanoseconds.
PERCENTILES = ("p50", "p99", "p99.9", "max")
# What there is two of, and which is compared with every other subject of its work.
RING_SUBJECTS = ("zcpool::bitmap_store", "zcpool::index_ring")


def run_program(program, *arguments):
    """The benchmarks that ran: those of Google Benchmark's JSON that are no aggregates."""
    with tempfile.NamedTemporaryFile("r", suffix=".json", encoding="utf-8") as out:
        ran = subprocess.run([program, f"--benchmark_out={out.name}", *arguments],
                             capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            why = ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"]
            raise RuntimeError(f"{program.name}: {why[-1]}")
        found = json.load(out)["benchmarks"]
    for line in ran.stderr.splitlines():
        if line.startswith(LEFT_OUT) and line not in said:
            said.add(line)
            print(f"{program.name}: {line}", flush=True)
    for each in found:
        if each.get("error_occurred"):
            raise RuntimeError(f"{program.name}: {each['name']}: {each['error_message']}")
    return [each for each in found if each.get("run_type") == "iteration"]


def trips(benchmark):
    return [benchmark[key] for key in ("round_trip_before", "round_trip_after") if key in benchmark]


def kind_of(round_trips):
    """near, far, changed while it ran, or None where only one thread ran."""
    if not round_trips:
        return None
    if max(round_trips) <= NEAR:
        return "near"
    return "far" if min(round_trips) > NEAR else "changed"


def row_of(suite, work, subject, baseline, unit, runs):
    """The row of some pairs (subject's value, baseline's value, round trips), and what is behind.

    Only pairs of one kind are compared: of that kind which most are of.
    """
    by_kind = {}
    for pair in runs:
        by_kind.setdefault(kind_of(pair[2]), []).append(pair)
    usable = {kind: found for kind, found in by_kind.items() if kind != "changed"} or by_kind
    kind = max(usable, key=lambda each: len(usable[each]))
    used = usable[kind]
    ratios = sorted(mine / other for mine, other, _ in used)
    notes = f"middle half {ratios[len(ratios) // 4]:.3f} to " \
            f"{ratios[(3 * len(ratios)) // 4]:.3f}"
    if kind is not None:
        trip = statistics.median(each for pair in used for each in pair[2])
        notes += f"; processors {kind}, {trip:.0f} ns, in {len(used)} of {len(runs)} runs"
    row = {"suite": suite, "work": work, "subject": subject,
           "value": statistics.median(pair[0] for pair in used), "unit": unit,
           "baseline": baseline, "baseline_value": statistics.median(pair[1] for pair in used),
           "ratio": statistics.median(ratios),
           "goal": goals.goal_of(suite, work, subject, baseline),
           "runs": len(used), "notes": notes}
    behind = {"suite": suite, "work": work, "subject": subject, "baseline": baseline, "unit": unit,
              "values": [[float(f"{x:.5g}") for x in (mine, other, *trip)]
                         for mine, other, trip in runs]}
    return row, behind


def run_passes(suite, programs, passes, duration):
    """Rows of every own subject beside every other subject of its work."""
    found = {}  # (work, subject): [(nanoseconds an item, round trips) for each pass]
    frozen = {}  # (work, subject): [(stops, stalls) for each pass]
    in_bytes = set()  # works whose figures are gigabytes a second
    for number in range(passes):
        for program in programs:
            print(f"\r{suite}: {program.name}, pass {number + 1} of {passes} ", end="",
                  file=sys.stderr, flush=True)
            for each in run_program(program, duration):
                work, subject = SUFFIX.sub("", each["name"]).split(" | ")
                if "stalls" in each:
                    frozen.setdefault((work, subject), []).append((each["stops"], each["stalls"]))
                elif "p50" in each:
                    for key in PERCENTILES:
                        found.setdefault((f"{work}, {key}", subject), []).append(
                            (each[key], trips(each)))
                elif "bytes_per_second" in each:
                    in_bytes.add(work)
                    found.setdefault((work, subject), []).append(
                        (each["bytes_per_second"] / 1e9, trips(each)))
                else:
                    found.setdefault((work, subject), []).append(
                        (1e9 / each["items_per_second"], trips(each)))
    print(file=sys.stderr)

    def beside(work, subject, other_work, other, called):
        runs = [(mine, others, my_trips + other_trips) for (mine, my_trips), (others, other_trips)
                in zip(found[work, subject], found[other_work, other])]
        return row_of(suite, work, subject, called, RATE if work in in_bytes else "ns", runs)

    def is_own(subject):
        return subject in RING_SUBJECTS if suite == "ring" else subject.startswith(OWN)

    made = []
    for work, subject in found:
        if not is_own(subject):
            continue
        made += [beside(work, subject, work, other, other) for of, other in found
                 if of == work and other != subject]
        if work == "two threads, each its own":
            made.append(beside(work, subject, "one thread", subject, f"{subject}, one thread"))
        if work == "4 threads on 2 cores" and subject == "zcpool::bitmap_store":
            made.append(beside(work, subject, "2 threads mixed", subject,
                               f"{subject}, 2 threads mixed"))
        if work.endswith(", p99.9"):
            made.append(alone(suite, work, subject, found[work, subject]))
    for work, subject in frozen:
        if is_own(subject):
            made += stall_rows(suite, work, subject, frozen)
    return made


def alone(suite, work, subject, runs):
    """A row without a baseline, for a goal that is no ratio."""
    row, behind = row_of(suite, work, subject, None, "ns",
                         [(mine, mine, trip) for mine, trip in runs])
    row["baseline_value"] = row["ratio"] = None
    row["notes"] = row["notes"].partition("; ")[2]
    return row, behind


def stall_rows(suite, work, subject, frozen):
    """How often a stopped thread made another stall: alone, with the goal, and beside others."""
    for other in (None, *(each for of, each in frozen if of == work and each != subject)):
        values = frozen[work, subject]
        if other is not None:
            values = [(*of_pass, *others) for of_pass, others in zip(values, frozen[work, other])]
        yield stall_row(suite, work, subject, other, values)


def stall_row(suite, work, subject, baseline, values):
    """The row of some passes (stops, stalls, and the same of the baseline). Its figure is of a
    thousand stops; there is no ratio, as most are to be 0."""
    sums = [sum(each) for each in zip(*values)]
    notes = f"{sums[0]:.0f} stops"
    if baseline is not None:
        notes += f"; of the other {sums[2]:.0f}"
    row = {"suite": suite, "work": work, "subject": subject, "value": 1000 * sums[1] / sums[0],
           "unit": STALLS, "baseline": baseline,
           "baseline_value": None if baseline is None else 1000 * sums[3] / sums[2], "ratio": None,
           "goal": goals.goal_of(suite, work, subject, baseline), "runs": len(values),
           "notes": notes}
    behind = {"suite": suite, "work": work, "subject": subject, "baseline": baseline,
              "unit": STALLS, "values": values}
    return row, behind


def rows_of_raw(raw):
    """The rows again, from what --raw wrote of them."""
    sends = dict(steady_state.CASES)
    for each in raw:
        if "counted" in each:
            yield from steady_rows_of(each["case"], sends[each["case"]], each["calls"],
                                      each["counted"])
            continue
        work = each["suite"], each["work"], each["subject"]
        if each["unit"] == STALLS:
            yield stall_row(*work, each["baseline"], each["values"])[0]
        elif each["baseline"] is None:
            yield alone(*work, [(value[0], value[2:]) for value in each["values"]])[0]
        else:
            row, _ = row_of(*work, each["baseline"], each["unit"],
                            [(value[0], value[1], value[2:]) for value in each["values"]])
            if each["suite"] == "serving" and each["subject"].startswith(goals.BEST):
                row["goal"] = goals.serving_goal(each["work"], each["baseline"],
                                                 goals.SERVING_UNITS[each["unit"]])
            yield row


def run_rounds(suite, program, repetitions, *arguments):
    """Rows of a program whose benchmarks do both sides themselves."""
    print(f"{suite}: {program.name}, {repetitions} rounds a row", file=sys.stderr)
    found = {}
    for each in run_program(program, f"--benchmark_repetitions={repetitions}", *arguments):
        name = tuple(SUFFIX.sub("", each["name"]).split(" | "))
        found.setdefault(name, []).append((each["subject"], each["baseline"], trips(each)))
    return [row_of(suite, *name, "ns/B", runs) for name, runs in found.items()]


def steady_rows_of(case, send, calls, counted):
    extra = sum(calls.values()) - calls.get(send, 0)
    faults = counted["minor_faults"] + counted["major_faults"]
    for what, count in (("system calls beside the send", extra), ("page faults", faults),
                        ("allocations", counted["allocations"])):
        yield {"suite": "core", "work": "steady state", "subject": f"{what}, {case}",
               "value": count / steady_state.MESSAGES, "unit": "a message",
               "baseline": None, "baseline_value": None, "ratio": None,
               "goal": "== 0", "runs": steady_state.MESSAGES, "notes": ""}


def steady_state_rows(program):
    """What a message costs beside its send; the proof itself is steady_state.py's."""
    rows, raw = [], []
    for case, send in steady_state.CASES:
        try:
            calls, counted = steady_state.best_loop_of(program, case, send)
        except steady_state.NoStrace as why:
            print(f"core: steady state: system calls could not be counted: {why}", file=sys.stderr)
            return [], []
        rows += steady_rows_of(case, send, calls, counted)
        raw.append({"suite": "core", "work": "steady state", "case": case, "calls": calls,
                    "counted": counted})
    return rows, raw


def run(suite, build, runs, quick):
    """Returns: rows, and the runs behind them."""
    programs = build / "benchmarks"
    duration = "--quick" if quick else "--benchmark_min_time=0.02"
    if suite == "sinks":
        made = run_rounds(suite, programs / "sinks.bench", 1 if quick else runs or 101,
                          *(["--quick"] if quick else []))
    else:
        names = {"core": ("core", "chain")}.get(suite, (suite,))
        made = run_passes(suite, [programs / f"{name}.bench" for name in names],
                          1 if quick else runs or 15, duration)
    rows = [row for row, _ in made]
    raw = [behind for _, behind in made]
    if suite == "core" and shutil.which("strace"):
        more_rows, more_raw = steady_state_rows(programs / "steady_state.bench")
        rows += more_rows
        raw += more_raw
    elif suite == "core":
        print("core: steady state: there is no strace to count system calls", file=sys.stderr)
    return rows, raw
