# SPDX-License-Identifier: MIT
"""usage: run_test.py BUILD_DIR. Checks that run.py writes the rows that it promises."""

import json
import pathlib
import subprocess
import sys
import tempfile

import goals
import pairs

KEYS = {"suite", "work", "subject", "value", "unit", "baseline", "baseline_value", "ratio", "goal",
        "runs", "notes"}
# A row that must be there, for each suite: work, subject, baseline.
EXPECTED = {
    "core": ("one thread", "zcpool", "malloc/free"),
    "ring": ("2 threads mixed", "zcpool::index_ring", "SCQ"),
    "sinks": ("64 KiB", "sink::sendfile", "bare sendfile loop"),
    "ipc": ("64 KiB messages", "zcpool::byte_stream", "pipe"),
    "include": ("compile", "<zcpool/zcpool.hpp>", "<expected>, <span>, <atomic>"),
}


def check(build, suite, expected):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "rows.json"
        run = pathlib.Path(__file__).with_name("run.py")
        subprocess.run([sys.executable, "-B", run, "--build", build, suite, "--quick", "--json",
                        file], check=True, stdout=subprocess.DEVNULL)
        rows = json.loads(file.read_text(encoding="utf-8"))
    for row in rows:
        assert row.keys() == KEYS, f"{suite}: keys {sorted(row)}"
        assert row["suite"] == suite
        assert row["runs"] >= 1
        assert row["goal"] is None or goals.is_met(row) in (True, False)
    found = [row for row in rows if (row["work"], row["subject"], row["baseline"]) == expected]
    assert len(found) == 1, f"{suite}: {len(found)} rows of {expected}"
    assert found[0]["value"] > 0 and found[0]["baseline_value"] > 0 and found[0]["ratio"] > 0
    return rows


def check_ring(rows):
    """The rows of the ring suite that are no ratios of nanoseconds an item."""
    stopped = [row for row in rows if row["unit"] == pairs.STALLS]
    alone = [row for row in stopped if row["baseline"] is None]
    assert sorted(row["subject"] for row in alone) == sorted(pairs.RING_SUBJECTS)
    assert all(row["goal"] == "== 0" and row["value"] == 0 for row in alone), alone
    assert any(row["baseline"] == "SCQ" and row["baseline_value"] == 0 for row in stopped)
    work = "4 threads on 2 cores, one operation, "
    for key in pairs.PERCENTILES:
        assert any(row["work"] == work + key and row["baseline"] == "SCQ" for row in rows), key
    tail = [row for row in rows if row["work"] == work + "p99.9" and row["baseline"] is None
            and row["goal"]]
    assert [row["subject"] for row in tail] == ["zcpool::index_ring"], tail


def main():
    for suite, expected in EXPECTED.items():
        rows = check(sys.argv[1], suite, expected)
        if suite == "ring":
            check_ring(rows)
    # A goal can be missed.
    assert not goals.is_met({"ratio": 1.031, "value": 1, "goal": "<= 1.03"})
    assert goals.is_met({"ratio": 1.03, "value": 9, "goal": "<= 1.03"})
    assert not goals.is_met({"ratio": None, "value": 1, "goal": "== 0"})


main()
