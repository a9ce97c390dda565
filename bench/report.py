"""What a run leaves: a JSON file, and tables for the screen."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from .rivals import OURS
from .shapes import Shape

# Machines are noisy: so far under its target a figure counts as reached.
TOLERANCE = 0.10
# The worst order of a database may take this many times the time of a random one (cpu.md, 2).
WORST_ORDER = 2.5


def save(record: dict, path: Path) -> None:
    """Writes the record as JSON, whole or not at all; timings stand on one line each."""
    text = json.dumps(record, indent=2)
    text = re.sub(r"\[[\s\d,.]+\]", lambda found: " ".join(found[0].split()), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
        Path(name).chmod(0o644)  # mkstemp's own mode is for the owner alone
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def tables(record: dict) -> list[Table]:
    """One table for single queries (how long a call takes), one for batches (how many a second)."""
    rows = record["rows"]
    single = [row for row in rows if row["shape"]["n_queries"] == 1]
    batches = [row for row in rows if row["shape"]["n_queries"] > 1]
    found = []
    if single:
        title = "Single queries: p50 / p90 of the wall time"
        found.append(_table(title, single, record, _latency))
    if batches:
        title = "Batches: Gcmp/s = 1e9 code comparisons a second of wall time"
        found.append(_table(title, batches, record, _throughput))
    return found


def summary(record: dict) -> list[tuple[str, ...]]:
    """Head and a line per shape for a page: our figure, and each rival's CPU time over ours."""
    rivals = [name for name in _contenders(record) if name != OURS.name]
    lines = [("shape", OURS.name, *(f"{name} takes" for name in rivals))]
    for row in record["rows"]:
        cell = _latency if row["shape"]["n_queries"] == 1 else _throughput
        ratios = [row["ratios"].get(name) for name in rivals]
        times = [f"{ratio['cpu']:.1f}x" if ratio else "-" for ratio in ratios]
        lines.append((_shape(row, record), cell(row["contenders"][OURS.name]), *times))
    return lines


def legend(record: dict) -> str:
    """What the tables' figures mean, and what they were held against."""
    ceiling = record["ceilings"]["read"]
    machine, threads = record["machine"], record["threads"]
    lines = [
        f"{machine['cpu']}, {threads} thread{'s' * (threads != 1)}; meanwhile other processes used "
        f"{record['other_processes_cpus']:.1f} of {machine['logical_cpus']} CPUs",
        "2.0x cpu / 1.9x wall: the rival takes so many times our own time (fastest calls)",
        f"read: the database's bytes by the fastest call; 100 % is {ceiling['gb_per_s']:.1f} GB/s, "
        f"the best of {len(ceiling['candidates_gb_per_s'])} plain readers ({ceiling['best']})",
    ]
    if any(row["verdict"] for row in record["rows"]):
        lines.append("targets: set on a 2-core Sapphire Rapids machine; another has other ratios")
    for name, other in _contenders(record).items():
        how = other.get("missing") or f"{other['version']}: {other['configuration']}"
        agrees = {r["contenders"][name].get("agrees_in") for r in record["rows"]} - {None}
        equal = f"; equal to the exact ranking in {' | '.join(sorted(agrees))}" if agrees else ""
        lines.append(f"{name} {how}{equal}")
    return "\n".join(lines)


def fraction_of_bandwidth(row: dict, record: dict) -> float | None:
    """Of the machine's read bandwidth; None for batches and for databases that fit a cache.

    A little over 1 is possible: part of a database may still be cached from the call before.
    """
    rate = row["contenders"][OURS.name].get("read_gb_per_s")
    if rate is None or Shape(**row["shape"]).db_bytes <= record["ceilings"]["last_level_cache"]:
        return None
    return rate / record["ceilings"]["read"]["gb_per_s"]


def verdict(row: dict, rows: Sequence[dict]) -> str:
    """The row's figure against its target in the design, or "" without one."""
    target, ratio = row["shape"]["target"], row["ratios"].get("faiss")
    if target and ratio:
        return f">= {target:g}x: {_word(ratio['cpu'] / target)}"
    slowdown = times_random_order(row, rows)
    if slowdown:
        return f"{slowdown:.1f}x random (<= {WORST_ORDER:g}): {_word(WORST_ORDER / slowdown)}"
    return ""


def times_random_order(row: dict, rows: Sequence[dict]) -> float | None:
    """Our CPU time, as a multiple of that on a random database where the run has both."""
    if row["shape"]["order"] == "random":
        return None
    random = {**row["shape"], "order": "random", "target": None}
    for other in rows:
        if {**other["shape"], "target": None} == random:
            ours, base = (r["contenders"][OURS.name]["cpu_min_s"] for r in (row, other))
            return ours / base
    return None


def _word(reached: float) -> str:
    if reached >= 1:
        return "met"
    return f"met within {TOLERANCE:.0%}" if reached >= 1 - TOLERANCE else "under"


def _contenders(record: dict) -> dict[str, dict]:
    return record["rows"][0]["contenders"]


def _table(title: str, rows: Sequence[dict], record: dict, cell: Callable[[dict], str]) -> Table:
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("shape")
    for name in _contenders(record):
        table.add_column(name, justify="right")
    with_read = any(row["shape"]["n_queries"] == 1 for row in rows)
    with_target = any(row["verdict"] for row in rows)
    for name, wanted in (("read", with_read), ("target against faiss, cpu", with_target)):
        if wanted:
            table.add_column(name)
    for row in rows:
        cells = [_shape(row, record)]
        cells += [cell(other) + _ratio(row, name) for name, other in row["contenders"].items()]
        if with_read:
            cells.append(_read(row))
        if with_target:
            cells.append(row["verdict"])
        missed = row["verdict"].endswith("under")
        table.add_row(*cells, style="red" if missed else None)
    return table


def _shape(row: dict, record: dict) -> str:
    shape = dict(row["shape"])
    if shape["backend"] == record["backend"]:
        shape["backend"] = None
    return str(Shape(**shape))


def _latency(contender: dict) -> str:
    if "missing" in contender:
        return contender["missing"]
    return f"{duration(contender['wall_p50_s'])} / {duration(contender['wall_p90_s'])}"


def _throughput(contender: dict) -> str:
    if "missing" in contender:
        return contender["missing"]
    return f"{contender['gcmp_per_s']:.3g} Gcmp/s"


def _ratio(row: dict, name: str) -> str:
    ratio = row["ratios"].get(name)
    return f"\n{ratio['cpu']:.1f}x cpu / {ratio['wall']:.1f}x wall" if ratio else ""


def _read(row: dict) -> str:
    rate = f"{row['contenders'][OURS.name]['read_gb_per_s']:.1f} GB/s"
    fraction = row["fraction_of_bandwidth"]
    return f"{rate}\n" + ("in cache" if fraction is None else f"{fraction:.0%}")


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"
