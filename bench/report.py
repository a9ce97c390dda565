"""What a run leaves: a JSON file, tables for the screen and a page, and a figure.

python bench/report.py bench/results/latency.json                  the tables of a result file
python bench/report.py bench/results/latency.json --figure F.png   and the figure of its batch sizes
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from rich.console import Console
from rich.table import Table

from bench import command, figure
from bench.suites import SUITES
from hamming.io import write_whole


def save(record: dict, path: Path) -> None:
    """Writes the record as JSON, whole or not at all; timings stand on one line each."""
    text = json.dumps(record, indent=2, default=lambda number: number.item())
    text = re.sub(r"\[[\s\d,.e+-]+\]", lambda found: " ".join(found[0].split()), text)
    write_whole(path, lambda temporary: temporary.write_text(text + "\n"))


def show(record: dict) -> None:
    """All tables and what they mean, on the screen."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)  # a log has no width to respect
    for table in tables(record):
        console.print(table)
    console.print(legend(record), markup=False)


def tables(record: dict) -> list[Table]:
    """For each suite one for single queries (how long a call takes), one for the rest (rates)."""
    found = []
    for suite in suites(record):
        rows = rows_of(record, suite)
        single = [row for row in rows if row["shape"].get("n_queries") == 1]
        others = [row for row in rows if row["shape"].get("n_queries") != 1]
        title = SUITES[suite].title
        if single:
            found.append(_table(f"{title}, one query: p50 / p90 of the wall time", single))
        if others:
            found.append(_table(f"{title}: {others[0]['unit']} of wall time", others))
    return found


def suites(record: dict) -> list[str]:
    """Those of the record, in its order."""
    return list(dict.fromkeys(row["suite"] for row in record["rows"]))


def rows_of(record: dict, suite: str) -> list[dict]:
    return [row for row in record["rows"] if row["suite"] == suite]


def summary(rows: Sequence[dict]) -> list[tuple[str, ...]]:
    """Head and a line per shape for a page: our figure, and each rival's CPU time over ours.

    The wall time where contenders differ in threads.
    """
    ours, *rivals = rows[0]["contenders"]
    clock = "wall" if rows[0]["suite"] == "threads" else "cpu"
    with_ceiling = any(row["ceiling"] for row in rows)
    with_memory = any("peak_bytes" in row["contenders"][ours] for row in rows)
    head = ["shape", ours, *["of the ceiling"] * with_ceiling, *["memory"] * with_memory]
    lines = [(*head, *(f"{name} takes" for name in rivals))]
    for row in rows:
        line = [row["name"], figure_of(row, row["contenders"][ours])]
        if with_ceiling:
            line.append(ceiling(row))
        if with_memory:
            line.append(size(row["contenders"][ours]["peak_bytes"]))
        ratios = [row["ratios"].get(name) for name in rivals]
        lines.append((*line, *(f"{ratio[clock]:.1f}x" if ratio else "-" for ratio in ratios)))
    return lines


def legend(record: dict) -> str:
    """What the tables' figures mean, what they were held against, and who agreed."""
    machine, threads, read = record["machine"], record["threads"], record["ceilings"]["read"]
    lines = [
        f"{machine['cpu']}, {threads} thread{'s' * (threads != 1)}; meanwhile other processes used "
        f"{record['other_processes_cpus']:.1f} of {machine['logical_cpus']} CPUs",
        "Gcmp/s: 1e9 code comparisons a second; 2.0x cpu / 1.9x wall: the rival takes so many "
        "times our own time (fastest calls)",
        "of the ceiling: of the lesser of what the loop of bench/ceilings.c compares in L1 "
        "(popcount) and what a plain loop reads of a buffer of the database's size (memory)",
        f"from main memory {read['gb_per_s']:.1f} GB/s, the best of "
        f"{len(read['candidates_gb_per_s'])} plain readers ({read['best']})",
    ]
    lines += [
        f"popcount at {name}: "
        + (found.get("missing") or f"{found['gcmp_per_s']:.3g} Gcmp/s ({found['instructions']})")
        for name, found in record["ceilings"]["popcount"].items()
    ]
    if any(row["verdicts"] for row in record["rows"]):
        lines.append("targets: set on a 2-core Sapphire Rapids machine; another has other ratios")
    for suite in suites(record):
        lines.append(f"{suite}:")
        lines += [f"  {line}" for line in contenders(rows_of(record, suite))]
    return "\n".join(lines)


def contenders(rows: Sequence[dict]) -> list[str]:
    """Version, configuration and agreement of each, or why it is missing."""
    lines = []
    for name in rows[0]["contenders"]:
        all_of = [row["contenders"][name] for row in rows]
        timed = [found for found in all_of if "missing" not in found]
        if not timed:
            lines.append(f"{name}: {all_of[0]['missing']}")
            continue
        agrees = " | ".join(sorted({found["agrees_in"] for found in timed}))
        how = f"{timed[0]['version']}: {timed[0]['configuration']}"
        lines.append(f"{name} {how}; equal to the exact answer in {agrees}")
    return lines


def _table(title: str, rows: Sequence[dict]) -> Table:
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("shape")
    for name in rows[0]["contenders"]:
        table.add_column(name, justify="right")
    optional: list[tuple[str, Callable[[dict], str]]] = [
        ("of the ceiling", ceiling),
        ("targets", lambda row: "\n".join(row["verdicts"])),
    ]
    shown = [(head, cell) for head, cell in optional if any(cell(row).strip("-") for row in rows)]
    for head, _ in shown:
        table.add_column(head)
    for row in rows:
        cells = [_cell(row, name) for name in row["contenders"]]
        missed = any(verdict.endswith("missed") for verdict in row["verdicts"])
        style = "red" if missed else None
        table.add_row(row["name"], *cells, *(cell(row) for _, cell in shown), style=style)
    return table


def _cell(row: dict, name: str) -> str:
    contender, ratio = row["contenders"][name], row["ratios"].get(name)
    lines = [figure_of(row, contender)]
    if ratio:
        lines.append(f"{ratio['cpu']:.1f}x cpu / {ratio['wall']:.1f}x wall")
    if contender.get("peak_bytes") is not None:
        lines.append(size(contender["peak_bytes"]))
    return "\n".join(lines)


def figure_of(row: dict, contender: dict) -> str:
    """Latency of single queries, else the rate."""
    if "missing" in contender:
        return contender["missing"]
    if row["shape"].get("n_queries") == 1:
        return f"{duration(contender['wall_p50_s'])} / {duration(contender['wall_p90_s'])}"
    return f"{contender['rate']:.3g} {row['unit']}"


def ceiling(row: dict) -> str:
    """How much of it our own engine reaches, and what it is."""
    found = row["ceiling"]
    if not found:
        return "-"
    return f"{found['fraction']:.0%} {found['bound']}" if found["fraction"] else found["bound"]


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def size(n_bytes: int | None) -> str:
    """In MB of 1e6 bytes."""
    return "-" if n_bytes is None else f"{n_bytes / 1e6:.0f} MB"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = command.parser("bench/report.py", __doc__)
    parser.add_argument("results", type=Path, metavar="FILE.json")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="or .svg, .pdf")
    options = parser.parse_args(argv)
    try:
        record = json.loads(options.results.read_text())
        show(record)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{options.results}: expected a result of bench/latency.py, got {error!r}")
    if options.figure:
        if not rows_of(record, "batch_size"):
            parser.error(f"{options.results}: expected rows of the suite batch_size, got none")
        figure.save(record, options.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
