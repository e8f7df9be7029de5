# SPDX-License-Identifier: MIT
"""Checks that plot.py leaves no row out, marks what is lost, and writes SVG that parses."""

import json
import pathlib
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

import pairs
import plot


def row(work, subject, value, baseline=None, other=None, unit="ns", suite="ring", goal=None):
    ratio = None if not other else value / other
    return {"suite": suite, "work": work, "subject": subject, "value": value, "unit": unit,
            "baseline": baseline, "baseline_value": other, "ratio": ratio, "goal": goal, "runs": 1,
            "notes": ""}


ROWS = [
    row("a | b", "zcpool", 2.0, "limit: an array", 1.0, goal="<= 1.9"),
    row("a | b", "zcpool", 2.0, "better", 1.5),
    row("a | b", "zcpool", 2.0, "slow & <old>", 400.0, goal="<= 0.2"),
    row("many", "zcpool", 1500.0, "better", 1500.4),
    row("stops", "zcpool", 0, goal="== 0", unit=pairs.STALLS),
    row("stops", "zcpool", 0, "stalls", 371.4, unit=pairs.STALLS),
    row("stops", "zcpool", 0, "does not", 0, unit=pairs.STALLS),
    row("rate", "segment_server --sink write", 90, "nginx", 100, "requests/s", "serving"),
    row("rate", "segment_server --sink write", 90, "naive", 80, "requests/s", "serving"),
    row("bytes", "zcpool::byte_ring", 2.0, "pipe", 1.0, pairs.RATE, "ipc", ">= 1"),
    row("bytes", "zcpool::byte_ring", 2.0, "limit: memcpy", 16.0, pairs.RATE, "ipc"),
    row("steady state", "page faults", 0.5, unit="a message", suite="core", goal="== 0"),
]
ROWS[6]["ratio"] = None
ROWS[5]["ratio"] = None
# What must be in the table; each is red where a rule of it is broken.
LINES = [
    "| | a \\| b (ns) | many (ns) | stops (of 1,000 stops) |",
    "| zcpool | 2 | 1,500 | 0 (== 0) |",
    "| : limit: an array | **2.000** (<= 1.9) |  |  |",
    "| : better | **1.333** | 1.000 |  |",
    "| : slow & <old> | 0.005 (<= 0.2) |  |  |",
    "| : stalls |  |  | 0 : 371 |",
    "| : does not |  |  | 0 : 0 |",
    "| : nginx | **0.900** |",
    "| : naive | 1.125 |",
    "| : pipe | 2.000 (>= 1) |",
    "| : limit: memcpy | **0.125** |",
    "| steady state | page faults | **0.5** (== 0) a message |",
]
# Runs as --raw has them, and what becomes of them.
RAW = [
    {"suite": "ring", "work": "1 thread", "subject": "zcpool", "baseline": "SCQ", "unit": "ns",
     "values": [[4, 2], [6, 2], [8, 2]]},
    {"suite": "ring", "work": "stops", "subject": "zcpool", "baseline": "SCQ",
     "unit": pairs.STALLS, "values": [[70, 0, 70, 7], [30, 0, 30, 3]]},
    {"suite": "ring", "work": "p99.9", "subject": "zcpool", "baseline": None, "unit": "ns",
     "values": [[300, 300, 50, 50]]},
]
FROM_RAW = [("SCQ", 6, 2, 3), ("SCQ", 0, 100, None), (None, 300, None, None)]


def main():
    table = plot.markdown(ROWS)
    for line in LINES:
        assert line in table.splitlines(), f"{line!r} is not in\n{table}"
    got = [(each["baseline"], each["value"], each["baseline_value"], each["ratio"])
           for each in pairs.rows_of_raw(RAW)]
    assert got == FROM_RAW, got

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
        (folder / "raw.json").write_text(json.dumps({"machine": {}, "pairs": RAW}),
                                         encoding="utf-8")
        script = pathlib.Path(__file__).with_name("plot.py")
        ran = subprocess.run([sys.executable, "-B", script, folder / "rows.json",
                              folder / "raw.json", "--svg", folder],
                             check=True, capture_output=True, text=True)
        assert "| : SCQ |" in ran.stdout
        for suite in ("ring", "serving", "core"):
            drawn = ElementTree.parse(folder / f"{suite}.svg").getroot()
            texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
            of_suite = [each for each in ROWS if each["suite"] == suite]
            for each in of_suite:
                assert each["baseline"] is None or each["baseline"] in texts, (suite, each)
                assert each["subject"] in texts, (suite, each)
            for bar in drawn.iter("{http://www.w3.org/2000/svg}rect"):
                assert 0 <= float(bar.get("width")) <= plot.WIDTH


main()
