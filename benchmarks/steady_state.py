# SPDX-License-Identifier: MIT
"""Counts what the steady state does a message: system calls, allocations, page faults.

usage: steady_state.py PROGRAM

Runs the program (steady_state.bench.cpp) under `strace -c` with N and with 2 N messages. What the
second run does more is the loop's: it must be N sends, and nothing else. Exits 1 when it is not, 77
when there is no strace or it may not trace.
"""

import collections
import shutil
import subprocess
import sys
import tempfile

MESSAGES = 300
# What the loop does, it does in every run. In about one case of a hundred there is one page fault
# in all of its messages, as when the kernel moves a page; that does not come three times in a row.
TRIES = 3
# Case, and the one system call that it may make.
CASES = [("write-4KiB", "sendmsg"), ("write-64KiB", "sendmsg"), ("write-1MiB", "sendmsg"),
         ("sendfile-64KiB", "sendfile"), ("sendfile-1MiB", "sendfile")]


class NoStrace(Exception):
    pass


def traced(program, case, messages):
    """The system calls by name, and what the program counted itself."""
    with tempfile.NamedTemporaryFile("r", encoding="ascii") as table:
        ran = subprocess.run(["strace", "-c", "-o", table.name, program, case, str(messages)],
                             capture_output=True, text=True, check=False)
        lines = table.read().splitlines()
    if ran.returncode != 0:
        if "ptrace" in ran.stderr.lower() or "strace:" in ran.stderr:
            raise NoStrace(ran.stderr.strip())
        raise RuntimeError(f"{case}: {ran.stderr.strip()}")
    calls = collections.Counter()
    for line in lines:
        # % time, seconds, usecs/call, calls, [errors,] name
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    if not calls:
        raise NoStrace("strace printed no table")
    counted = {key: int(number) for key, number in map(str.split, ran.stdout.splitlines())}
    return calls, counted


def loop_of(program, case, messages=MESSAGES):
    """What `messages` messages cost: a counter of system calls, and the program's own counts."""
    short, _ = traced(program, case, messages)
    long, _ = traced(program, case, 2 * messages)
    # The faults and allocations of a run that nothing stops at every call.
    ran = subprocess.run([program, case, str(messages)], capture_output=True, text=True, check=True)
    counted = {key: int(number) for key, number in map(str.split, ran.stdout.splitlines())}
    long.subtract(short)
    return {name: count for name, count in long.items() if count != 0}, counted


def best_loop_of(program, case, send):
    """loop_of(), of the first of some runs that has nothing to complain of, or else of the last."""
    for _ in range(TRIES):
        calls, counted = loop_of(program, case)
        if not complaints(case, send, calls, counted):
            break
    return calls, counted


def complaints(case, send, calls, counted, messages=MESSAGES):
    wrong = []
    if calls != {send: messages}:
        wrong.append(f"{case}: {messages} messages made {calls}, not {messages} {send} alone")
    for what in ("allocations", "minor_faults", "major_faults"):
        if counted[what] != 0:
            wrong.append(f"{case}: {counted[what]} {what.replace('_', ' ')}")
    return wrong


def main(program):
    if shutil.which("strace") is None:
        print("skipped: there is no strace")
        return 77
    try:
        # A loop that is known to be wasteful must be seen to be.
        calls, counted = loop_of(program, "wasteful")
        if not (calls.get("mmap") == MESSAGES and counted["allocations"] >= MESSAGES
                and counted["minor_faults"] >= MESSAGES):
            print(f"the wasteful loop went unseen: {calls} {counted}", file=sys.stderr)
            return 1
        wrong = []
        for case, send in CASES:
            calls, counted = best_loop_of(program, case, send)
            print(f"{case:16} {MESSAGES} messages: {calls}, {counted['allocations']} allocations, "
                  f"{counted['minor_faults'] + counted['major_faults']} page faults")
            wrong += complaints(case, send, calls, counted)
    except NoStrace as why:
        print(f"skipped: {why}")
        return 77
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
