# SPDX-License-Identifier: MIT
"""usage: run_test.py BUILD_DIR. Checks that run.py writes the rows that it promises."""

import json
import pathlib
import subprocess
import sys
import tempfile

import goals

KEYS = {"suite", "work", "subject", "value", "unit", "baseline", "baseline_value", "ratio", "goal",
        "runs", "notes"}
# A row that must be there, for each suite: work, subject, baseline.
EXPECTED = {
    "core": ("one thread", "zcpool", "malloc/free"),
    "ring": ("2 threads mixed", "zcpool::index_ring", "SCQ"),
    "sinks": ("64 KiB", "sink::sendfile", "bare sendfile loop"),
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


def main():
    for suite, expected in EXPECTED.items():
        check(sys.argv[1], suite, expected)
    # A goal can be missed.
    assert not goals.is_met({"ratio": 1.031, "value": 1, "goal": "<= 1.03"})
    assert goals.is_met({"ratio": 1.03, "value": 9, "goal": "<= 1.03"})
    assert not goals.is_met({"ratio": None, "value": 1, "goal": "== 0"})


main()
