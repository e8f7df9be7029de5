# SPDX-License-Identifier: MIT
"""Runs the benchmark suites and prints what came out; README.md says how to read it.

usage: run.py --build BUILD_DIR [SUITE] [--json FILE] [--raw FILE] [--runs N | --quick]

SUITE is core, ring, sinks, serving, ipc, include or all (the default). --json writes the rows of
the table, --raw the single runs behind them. --runs sets how many runs a row is the median of.
--quick only passes through everything once, for a test; its figures mean nothing.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

import goals
import include_cost
import pairs
import serving

SUITES = {"core": pairs.run, "ring": pairs.run, "sinks": pairs.run, "serving": serving.run,
          "ipc": pairs.run, "include": include_cost.run}


def machine():
    """Where this ran, for whoever reads the figures elsewhere."""
    processor = ""
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False)
    revision = subprocess.run(["git", "describe", "--always"],
                              cwd=pathlib.Path(__file__).parent, capture_output=True,
                              text=True, check=False)
    return {
        "revision": revision.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "processor": processor,
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "compiler": compiler.stdout.split("\n", 1)[0],
        "load_before": os.getloadavg()[0],
        "command": "run.py " + " ".join(sys.argv[1:]),
    }


def print_rows(rows):
    def figure(value):
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"

    title = None
    for row in rows:
        if (row["suite"], row["work"]) != title:
            title = row["suite"], row["work"]
            print(f"\n{row['suite']}: {row['work']} ({row['unit']})")
        line = f"  {row['subject']:44} {figure(row['value']):>9}"
        if row["baseline"] is not None:
            line += f"   {row['baseline']:52} {figure(row['baseline_value']):>9}"
        if row["ratio"] is not None:
            line += f"   ratio {row['ratio']:7.3f}"
        if row["goal"] is not None:
            line += f"   goal {row['goal']}: {'met' if goals.is_met(row) else 'NOT MET'}"
        if row["notes"]:
            line += f"   ({row['notes']})"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", choices=(*SUITES, "all"), default="all")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--raw", type=pathlib.Path)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    about = machine()
    if about["load_before"] > 0.5 and not options.quick:
        print(f"note: something else is running here (load {about['load_before']:.1f}); the "
              "figures of a busy machine mean little", file=sys.stderr)

    rows, raw, failed = [], [], False
    for suite in SUITES if options.suite == "all" else (options.suite,):
        try:
            new_rows, new_raw = SUITES[suite](suite, options.build, options.runs, options.quick)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as why:
            print(f"{suite}: could not be run: {why}", file=sys.stderr)
            failed = True
            continue
        print_rows(new_rows)
        rows += new_rows
        raw += new_raw
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if options.raw:
        text = ",\n".join("  " + json.dumps(each) for each in raw)
        options.raw.write_text('{"machine": ' + json.dumps(about) + ',\n "pairs": [\n' + text
                               + "\n]}\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
