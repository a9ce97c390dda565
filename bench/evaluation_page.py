"""The table of bench/evaluation.py, for the screen and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean


def table(rows: Sequence[dict]) -> list[tuple[str, ...]]:
    """Head and a line per size: times, memory, how much less time ours takes."""
    head = ("size", "queries x items, labels", *rows[0]["contenders"], "less CPU time")
    lines = [head]
    for row in rows:
        found = row["contenders"]
        ratio = found["numpy loop"]["cpu_seconds"] / found["ours"]["cpu_seconds"]
        shape = f"{row['n_queries']:,} x {row['n_codes']:,}, {row['n_labels']}"
        lines.append((row["name"], shape, *map(_cell, found.values()), f"{ratio:.1f}x"))
    return lines


def _cell(contender: dict) -> str:
    times = f"{contender['cpu_seconds']:.1f} s CPU, {contender['seconds']:.1f} s wall"
    return f"{times}, {_megabytes(contender)}"


def _megabytes(contender: dict) -> str:
    rise = contender["memory_bytes"]
    return "-" if rise is None else f"{rise / 1e6:.0f} MB"


def note(record: dict) -> str:
    """What was measured, and where."""
    facts, largest = record["machine"], max(r["largest_difference"] for r in record["rows"])
    found = [each for row in record["rows"] for each in row["contenders"].values()]
    others = mean(each["other_processes_cpus"] for each in found)
    return (
        f"{facts['cpu']}, one thread each, {facts['logical_cpus']} CPUs of which others used "
        f"{others:.1f}, numpy {facts['versions']['numpy']}, commit "
        f"{facts['git']['commit'][:7] if facts['git'] else 'unknown'}; "
        f"`python bench/evaluation.py`. Drawn codes of {record['n_bits']} bits. Compare CPU times: "
        "wall times include waiting for other processes. Both give MAP over the whole ranking, "
        "pooled precision and recall by radius, and topN-precision of one direction, with one sort "
        "a query for all of them; ours also the tie-averaged MAP, both MAP@k and lookup. Largest "
        f"difference between any two values: {largest:.0e}. Memory: the rise of the resident set "
        "during the call, beside the inputs."
    )
