"""What a run found, on the screen."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report import duration
from hamming.backends.cuda_plan import TUNING

from . import targets
from .frame import FAILED, NOT_RUN, WRONG

_STYLES = {"met": "green", "missed": "red"}


def show(record: dict[str, Any]) -> None:
    """All tables, the targets last."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=150)  # a log has no width to respect
    console.print(f"{record['card']}; times by {record['clock']}", markup=False)
    for step, kept in record["steps"].items():
        table = matrix(kept) if step == "batches" else contenders(step, kept)
        if table is not None:
            console.print(table)
    for line in [*launched(record), *tuned(record), *crossovers(record), *troubles(record)]:
        console.print(line, markup=False)
    console.print(aims(record))


def contenders(step: str, kept: dict[str, Any]) -> Table | None:
    """Medians of a step's cases; None where nothing was timed."""
    rows = {name: row for name, row in kept["rows"].items() if row.get("contenders")}
    if not rows or step == "tuning":
        return None
    table = Table(title=kept["title"], title_justify="left")
    table.add_column("case")
    table.add_column("median of a call")
    for name, row in rows.items():
        cells = [f"{one}: {_cell(found)}" for one, found in row["contenders"].items()]
        table.add_row(name, "   ".join(cells))
    return table


def matrix(kept: dict[str, Any]) -> Table | None:
    """Pairs a second of each width and variant, by the size of the batch."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for name, row in kept["rows"].items():
        width, _, size = name.partition(", ")
        for variant, found in row.get("contenders", {}).items():
            rate = f"{found['pairs_per_second']:.1e}".replace("e+", "e")
            cells.setdefault((width, variant), {})[size] = rate
    if not cells:
        return None
    table = Table(title=f"{kept['title']}: pairs a second", title_justify="left")
    sizes = list(dict.fromkeys(size for found in cells.values() for size in found))
    for head in ("", "", *sizes):
        table.add_column(head)
    for key in sorted(cells, key=lambda key: (int(key[0].split()[0]), key[1])):
        table.add_row(*key, *(cells[key].get(size, "") for size in sizes))
    return table


def _cell(found: dict[str, Any]) -> str:
    words = duration(found["median_ms"] / 1e3)
    for key, unit in (("pairs_per_second", "pairs/s"), ("bytes_per_second", "B/s")):
        if key in found:
            words += f" {found[key]:.3g} {unit}"
    return words


def launched(record: dict[str, Any]) -> list[str]:
    """Where the time of a search goes, the longest kernels first."""
    rows = record["steps"].get("launches", {}).get("rows", {})
    lines = []
    for name, row in rows.items():
        if "busy_us" not in row:
            continue
        parts = ", ".join(f"{kernel} {us:.0f}" for kernel, us in row["microseconds"].items())
        busy, span, n = row["busy_us"], row["span_us"], len(row["launches"])
        lines.append(f"{name}: {n} launches, {busy:.0f} of {span:.0f} us busy: {parts}")
    return lines


def tuned(record: dict[str, Any]) -> list[str]:
    """The best value of each size beside the shipped one."""
    rows = record["steps"].get("tuning", {}).get("rows", {})
    lines = []
    for name, row in rows.items():
        if "best" not in row:
            continue
        best, shipped = (row["contenders"].get(str(row[key])) for key in ("best", "shipped"))
        ratio = f", {shipped['median_ms'] / best['median_ms']:.2f}x" if best and shipped else ""
        lines.append(f"tuning, {name}: best {row['best']}, shipped {row['shipped']}{ratio}")
    return lines


def crossovers(record: dict[str, Any]) -> list[str]:
    """Batches from which variants overtake each other, beside what the plan assumes."""
    if record["dry"]:
        return []
    return [
        f"crossover at {n_bits} bits: mma from Q={mma} (the plan: {TUNING.mma_queries}), "
        f"wgmma from Q={wgmma} (the plan: {TUNING.wgmma_queries} to {TUNING.wgmma_most} from "
        f"{32 * TUNING.wgmma_words} bits on)"
        for n_bits, mma, wgmma in targets.crossovers(record)
    ]


def troubles(record: dict[str, Any]) -> list[str]:
    """What was wrong, failed or was left out."""
    counts: dict[str, int] = {}
    lines = []
    for step, kept in record["steps"].items():
        for name, row in kept["rows"].items():
            counts[row["status"]] = counts.get(row["status"], 0) + 1
            if row["status"] in (WRONG, FAILED, NOT_RUN):
                lines.append(f"{row['status']}: {step}, {name}: {row.get('reason', '')}")
    return [*lines, "cases: " + ", ".join(f"{n} {status}" for status, n in counts.items())]


def aims(record: dict[str, Any]) -> Table:
    """Target, measured, verdict."""
    title = "Targets, set on an H200: graphs replayed; in brackets as called, or what it is made of"
    table = Table(title=title, title_justify="left")
    for head in ("", "target", "measured", "verdict"):
        table.add_column(head)
    for line in targets.verdicts(record):
        table.add_row(*line, style=_STYLES.get(line.verdict, "dim"))
    return table
