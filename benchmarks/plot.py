# SPDX-License-Identifier: MIT
"""Makes a Markdown table and SVG plots of what run.py measured.

usage: plot.py FILE... [--svg FOLDER]

FILE is what run.py wrote with --json or --raw. The table goes to standard output: a column for each
work, a row for each peer, in it the ratio of ours to theirs. Bold is what we lose: a goal that was
missed, or, where there is none, the worse figure. No row is left out. --svg writes SUITE.svg for
each suite, with all figures as bars.
"""

import argparse
import json
import math
import pathlib
import sys
from xml.sax import saxutils

import goals
import pairs

MORE_IS_BETTER = ("requests/s", pairs.RATE)
OWN = ("zcpool", "sink::", "segment_server --sink")

# Of a plot, in pixels.
WIDTH, BAR, GAP, LABEL, FIGURE = 960, 15, 34, 390, 90
COLOURS = {"own": "#1b6ca8", "limit": "#7a9e3f", "peer": "#9aa0a6"}


def load(file):
    found = json.loads(file.read_text(encoding="utf-8"))
    return list(pairs.rows_of_raw(found["pairs"])) if isinstance(found, dict) else found


def by_suite(rows):
    suites = {}
    for row in rows:
        suites.setdefault(row["suite"], []).append(row)
    return suites


def figure(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def is_lost(row):
    """Whether this row is none to boast of."""
    if row["goal"] is not None:
        return not goals.is_met(row)
    if row["baseline"] is None:
        return False
    mine, other = row["value"], row["baseline_value"]
    if row["ratio"] is not None:
        mine, other = round(row["ratio"], 3), 1
    return mine < other if row["unit"] in MORE_IS_BETTER else mine > other


def cell(row):
    if row["ratio"] is None:
        text = figure(row["value"])
        if row["baseline_value"] is not None:
            text += f" : {figure(row['baseline_value'])}"
    else:
        text = f"{row['ratio']:.3f}" if row["ratio"] < 10 else f"{row['ratio']:.0f}"
    if is_lost(row):
        text = f"**{text}**"
    return text + (f" ({row['goal']})" if row["goal"] is not None else "")


def escape(text):
    return text.replace("|", "\\|")


def markdown(rows):
    """The tables of all suites, one for each of our subjects."""
    lines = []
    for suite, of_suite in by_suite(rows).items():
        tables = {}  # subject, or what the rows without a peer have in common: its rows
        for row in of_suite:
            tables.setdefault(row["subject"], []).append(row)
        single = [found[0] for found in tables.values()
                  if len(found) == 1 and found[0]["baseline"] is None]
        lines += [f"### {suite}", ""]
        for subject, found in tables.items():
            if found[0] not in single:
                lines += table_of(subject, found)
        if single:
            lines += ["| work | what | figure |", "| --- | --- | --- |"]
            lines += [f"| {escape(row['work'])} | {escape(row['subject'])} | {cell(row)} "
                      f"{row['unit']} |" for row in single]
            lines.append("")
    return "\n".join(lines)


def table_of(subject, rows):
    columns, peers, cells, own = [], [], {}, {}
    for row in rows:
        column = f"{row['work']} ({row['unit']})"
        if column not in columns:
            columns.append(column)
        if row["baseline"] is None:
            own[column] = cell(row)
            continue
        if row["baseline"] not in peers:
            peers.append(row["baseline"])
        own.setdefault(column, figure(row["value"]))
        cells[row["baseline"], column] = cell(row)
    lines = ["| | " + " | ".join(map(escape, columns)) + " |", "| --- |" + " --- |" * len(columns),
             f"| {escape(subject)} | " + " | ".join(own[each] for each in columns) + " |"]
    for peer in peers:
        lines.append(f"| : {escape(peer)} | "
                     + " | ".join(cells.get((peer, each), "") for each in columns) + " |")
    return [*lines, ""]


def bars_of(rows):
    """Figures by work, as (title, unit, [(value, subject, kind)]), best first."""
    works = {}
    for row in rows:
        bars = works.setdefault((row["work"], row["unit"]), {})
        kind = "own" if row["subject"].startswith(OWN) or row["baseline"] is None else "peer"
        bars.setdefault(row["subject"], (row["value"], kind))
        if row["baseline"] is not None:
            kind = "limit" if row["baseline"].startswith(("limit", "bare")) else "peer"
            kind = "own" if row["baseline"].startswith(OWN) else kind
            bars.setdefault(row["baseline"], (row["baseline_value"], kind))
    for (work, unit), bars in works.items():
        yield work, unit, sorted(((value, name, kind) for name, (value, kind) in bars.items()),
                                 reverse=unit in MORE_IS_BETTER)


def text_at(x, y, text, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}"{more}>{saxutils.escape(text)}</text>'


def svg(suite, rows):
    """A plot of bars whose length is the logarithm of the figure, a group for each work."""
    parts, y = [], 24
    parts.append(text_at(12, y, suite, ' font-size="16" font-weight="bold"'))
    for work, unit, bars in bars_of(rows):
        y += GAP
        better = "more" if unit in MORE_IS_BETTER else "less"
        parts.append(text_at(12, y, f"{work} ({unit}; {better} is better; logarithmic)",
                             ' font-weight="bold"'))
        y += 8
        shown = [value for value, _, _ in bars if value > 0] or [1]
        # From a third of the least to the most, so that the least has a bar too.
        low, high = math.log(min(shown) / 3), math.log(max(shown))
        for value, name, kind in bars:
            share = (math.log(value) - low) / (high - low) if value > 0 else 0
            length = share * (WIDTH - LABEL - FIGURE)
            parts.append(text_at(LABEL - 6, y + BAR - 4, name, ' text-anchor="end"'))
            parts.append(f'<rect x="{LABEL}" y="{y + 1}" width="{length:.1f}" height="{BAR - 3}" '
                         f'fill="{COLOURS[kind]}"/>')
            parts.append(text_at(LABEL + length + 5, y + BAR - 4, figure(value)))
            y += BAR
    y += 16
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
            f'width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="11">\n'
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--svg", type=pathlib.Path, metavar="FOLDER")
    options = parser.parse_args()
    rows = [row for file in options.files for row in load(file)]
    print(markdown(rows))
    if options.svg:
        for suite, of_suite in by_suite(rows).items():
            file = options.svg / f"{suite}.svg"
            file.write_text(svg(suite, of_suite), encoding="utf-8")
            print(f"wrote {file}", file=sys.stderr)


if __name__ == "__main__":
    main()
