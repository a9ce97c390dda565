"""The tables of docs/gpu.md and README from results of bench/gpu.py and of the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Record = dict[str, Any]
Lines = list[tuple[str, ...]]


def where(record: Record) -> str:
    """Card, driver and versions, and which runs made the file."""
    card = record["steps"]["facts"]["rows"]["card"]
    smi = card["nvidia_smi"].splitlines()[-1].split(", ")
    versions = card["versions"]
    names = ", ".join(f"{name} {versions[name]}" for name in ("cupy-cuda13x", "torch", "triton"))
    nvrtc = ".".join(map(str, card["nvrtc"]))
    started = record["runs"][0]["started"][:10]
    return f"{record['card']}, driver {smi[1]}, NVRTC {nvrtc}, {names}, {started}."


def targets(record: Record) -> Lines:
    """What was to be reached on an H200, and what this card did."""
    return [
        ("shape", "to reach on an H200", "measured", ""),
        *(
            (one["name"], one["target"], one["measured"], one["verdict"])
            for one in record["targets"]
        ),
    ]


def batches(record: Record) -> Lines:
    """Pairs a second of the fastest kernel, by width and batch."""
    rows = record["steps"]["batches"]["rows"]
    cells: dict[str, dict[str, str]] = {}
    for name, row in rows.items():
        width, _, size = name.partition(", ")
        best = min(row["contenders"].items(), key=lambda item: item[1]["median_ms"])
        cells.setdefault(size, {})[width] = f"{best[1]['pairs_per_second']:.2g} ({best[0]})"
    widths = list(next(iter(cells.values())))
    return [
        ("batch", *widths),
        *((size, *(found[width] for width in widths)) for size, found in cells.items()),
    ]


def peers(record: Record) -> Lines:
    """Milliseconds of a call, beside others on the same data."""
    found: Lines = []
    names: list[str] = []
    for name, row in record["steps"]["peers"]["rows"].items():
        if contenders := row.get("contenders"):
            names = names or list(contenders)
            times = (contenders[one]["median_ms"] for one in names)
            found.append((name, *(f"{ms:.3g}" for ms in times)))
    return [("search", *(f"{name}, ms" for name in names)), *found]


def unanswered(record: Record) -> str:
    """The searches of `peers` that have no time, and why; empty where all have one."""
    rows = record["steps"]["peers"]["rows"].items()
    found = [
        f"{name} ({row.get('reason', row['status'])})"
        for name, row in rows
        if not row.get("contenders")
    ]
    return f"Not measured: {'; '.join(found)}." if found else ""


def worst_cases(record: Record) -> Lines:
    """Medians of searches that differ in one thing."""
    rows = record["steps"]["worst_cases"]["rows"]
    return [
        ("what differs", "ms of a search"),
        *(
            (
                name,
                ", ".join(
                    f"{key}: {one['median_ms']:.3g}" for key, one in row["contenders"].items()
                ),
            )
            for name, row in rows.items()
            if row.get("contenders")
        ),
    ]


def chain(record: Record) -> Lines:
    """Encode, pack and search; and re-score, where it is said."""
    parts = {
        "encode": "encode, ms",
        "search": "search, ms",
        "chain": "both, ms",
        "graph": "as one graph, ms",
        "search graph": "search as a graph, ms",
    }
    # Older files have no graph of the search alone.
    names = [name for name in parts if all(name in row["median_s"] for row in record["rows"])]
    return [
        ("chain", *(parts[name] for name in names)),
        *(
            (row["name"], *(f"{1e3 * row['median_s'][name]:.3g}" for name in names))
            for row in record["rows"]
        ),
    ]


TABLES: dict[str, Callable[[Record], Lines]] = {
    "targets": targets,
    "batches": batches,
    "peers": peers,
    "worst": worst_cases,
    "chain": chain,
}
