"""The tables of docs/scale.md: measured ones, and those computed from them by the formulas here.

Computed ones go far beyond what was measured. Each says by what: a search reads or compares codes
at the measured rate, shards search at the same time, and their messages cost as much for each shard
as for the few that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import report

Record = dict[str, Any]
Lines = list[tuple[str, ...]]

WIDTHS = (64, 128, 256, 512, 1024)
PLANNED = (64, 256)
CODES = (10**8, 10**9, 10**10, 10**11)
MEMORY_SHARE = 0.8
"""Of a machine's or card's memory that codes may take."""
ID_BYTES = 8
RESULT_BYTES = 4 + 8
"""Of one neighbour: its distance and its id."""
LINK_BYTES_PER_SECOND = 10e9 / 8
"""10 Gbit/s."""
GOAL_SECONDS = 0.1


def measured(record: Record) -> Lines:
    """Wall time of a search, p50 / p90, by contender."""
    lines: Lines = [("search", *record["rows"][0]["contenders"])]
    for row in record["rows"]:
        name = f"{row['n_bits']} bits, N={row['n_codes']:.0e}, Q={row['n_queries']}, k={row['k']}"
        lines.append((name.replace("e+0", "e"), *map(_times, row["contenders"].values())))
    return lines


def trips(record: Record) -> Lines:
    """One query against shards too small to matter."""
    found = record["round_trips"]
    return [
        ("processes", f"one query, {found['codes_a_shard']:,} codes a shard: p50 / p90"),
        *((n, _times(one)) for n, one in found["processes"].items()),
    ]


def events(record: Record) -> Lines:
    """A killed process, and a file that is not in memory."""
    lines: Lines = [("after it", "first search, median (most)", "the next")]
    kill, file = record["recovery"], record["mapped"]
    size = file["n_codes"] * file["n_bits"] // 8
    for name, one in {
        "the kill of one of 2 processes": kill,
        f"loading a mapped file of {report.size(size)}, none of it in memory": file,
    }.items():
        first, second = one["first_s"], one["second_s"]
        most = report.duration(max(first))
        lines.append(
            (name, f"{_median(first)} ({most})", report.duration(float(np.median(second))))
        )
    return lines


def sizes(_: Record) -> Lines:
    """Bytes of codes: N * n_bits / 8; ids that do not follow each other add 8 a code."""
    rows = [(f"{n_bits} bits", n_bits / 8) for n_bits in WIDTHS]
    return [
        ("", *(_power(n) for n in CODES)),
        *((name, *(_bytes(n * each) for n in CODES)) for name, each in rows),
        ("ids of any order, beside them", *(_bytes(n * ID_BYTES) for n in CODES)),
    ]


def core(record: Record) -> Lines:
    """What one thread compares a second, of bench/latency.py."""
    found = {row["name"]: row for row in report.rows_of(record, "topk")}
    lines: Lines = [("codes", "one query, codes/s", "100 queries, comparisons/s")]
    for n_bits in WIDTHS:
        pair = [found.get(f"{n_bits} bits, N=1e6, Q={q}, k=10") for q in (1, 100)]
        if any(pair):
            cells = (
                f"{1e9 * row['contenders']['hamming']['rate']:.2g}" if row else "-" for row in pair
            )
            lines.append((f"{n_bits} bits", *cells))
    return lines


def card(record: Record) -> Lines:
    """What one GPU reads and compares a second, of bench/gpu.py, and what fits its memory."""
    memory = record["steps"]["facts"]["rows"]["card"]["memory_bytes"]
    lines: Lines = [
        ("codes", "one query, codes/s", "1,024 queries, comparisons/s", "codes that fit")
    ]
    for n_bits in WIDTHS:
        rate, batch = _card_rates(record, n_bits)
        fits = MEMORY_SHARE * memory / (n_bits / 8)
        lines.append((f"{n_bits} bits", f"{rate:.2g}", f"{batch:.2g}", f"{fits:.2g}"))
    return lines


def machines(record: Record) -> Lines:
    """How many machines like the measured one, and how long a search takes; computed."""
    memory = MEMORY_SHARE * record["machine"]["memory_bytes"]
    lines: Lines = [
        ("codes", "machines by memory", "one query", "100 queries", "machines for 100 ms")
    ]
    for n_bits in PLANNED:
        rate, batch = (_rate(record, n_bits, n_queries) for n_queries in (1, 100))
        for n in CODES:
            least = math.ceil(n * n_bits / 8 / memory)
            one, many = (n * q / r / least for q, r in ((1, rate), (100, batch)))
            extra = least * message_seconds(record)
            lines.append(
                (
                    f"{_power(n)} of {n_bits} bits",
                    f"{least:,}",
                    report.duration(one + extra),
                    report.duration(many + extra),
                    _fewest(record, n / rate, least),
                )
            )
    return lines


def cards(record: Record) -> Lines:
    """How many GPUs like the measured one, and how long they search; computed."""
    memory = MEMORY_SHARE * record["steps"]["facts"]["rows"]["card"]["memory_bytes"]
    lines: Lines = [("codes", "GPUs by memory", "one query", "1,024 queries")]
    for n_bits in PLANNED:
        rate, batch = _card_rates(record, n_bits)
        for n in CODES:
            least = math.ceil(n * n_bits / 8 / memory)
            times = (report.duration(n * q / r / least) for q, r in ((1, rate), (1024, batch)))
            lines.append((f"{_power(n)} of {n_bits} bits", f"{least:,}", *times))
    return lines


def network(_: Record) -> Lines:
    """Bytes that each shard sends: n_queries * k * 12, and how long 100 shards' take to arrive."""
    lines: Lines = [("queries", "k", "of one shard", "of 100 shards, at 10 Gbit/s")]
    for n_queries, k in ((1, 10), (1, 100), (100, 100), (1024, 100), (1024, 1000)):
        size = n_queries * k * RESULT_BYTES
        seconds = 100 * size / LINK_BYTES_PER_SECOND
        lines.append((f"{n_queries:,}", f"{k:,}", _bytes(size), report.duration(seconds)))
    return lines


def where(record: Record) -> str:
    """Machine, versions, load."""
    facts = record["machine"]
    versions = ", ".join(f"{name} {facts['versions'][name]}" for name in ("numpy", "ray"))
    others = record["other_processes_cpus"]
    return (
        f"{facts['cpu']}, {facts['logical_cpus']} CPUs of which others used "
        f"{others['before']:.1f} before the run and {others['after']:.1f} after it, "
        f"{facts['memory_bytes'] / 1e9:.0f} GB, "
        f"commit {facts['git']['commit'][:7]}, {versions}, {record['started'][:10]}."
    )


def messages(record: Record) -> str:
    """What a process costs beside its search, in words."""
    return f"By least squares {report.duration(message_seconds(record))} a process."


def beyond(record: Record) -> str:
    """How far from what ran the table of machines is."""
    n_codes = max(row["n_codes"] for row in record["rows"])
    n_shards = max(map(int, record["round_trips"]["processes"]))
    return (
        f"**Computed, not measured**: {n_codes:.0e} codes and {n_shards} processes on one machine "
        "are the most that ran."
    ).replace("e+0", "e")


def beyond_cards(record: Record) -> str:
    """How far from what ran the table of cards is."""
    steps = record["steps"]
    read = steps["small_batches"]["rows"]["64 bits"]["db_bytes"] // 8
    compared = steps["batches"]["rows"]["64 bits, Q=1024"]["n_codes"] * 8
    return (
        f"**Computed, not measured**, from one card, {read:.0e} codes for one query and "
        f"{report.size(compared)} of them for batches; several cards have not run."
    ).replace("e+0", "e")


def message_seconds(record: Record) -> float:
    """Of each process, beside its search: the slope of a line from zero, by least squares."""
    found = record["round_trips"]["processes"]
    pairs = [(int(n), one["wall_p50_s"]) for n, one in found.items()]
    return sum(n * s for n, s in pairs) / sum(n * n for n, _ in pairs)


def _fewest(record: Record, scan_seconds: float, least: int) -> str:
    """The fewest machines with which scan and messages take 0.1 s, if any number does."""
    each = message_seconds(record)
    for n_shards in range(least, max(least, int(GOAL_SECONDS / each)) + 1):
        if scan_seconds / n_shards + each * n_shards <= GOAL_SECONDS:
            return f"{n_shards:,}"
    return "none"


def _rate(record: Record, n_bits: int, n_queries: int) -> float:
    """Comparisons a second of both threads on the array."""
    for row in record["rows"]:
        if (row["n_bits"], row["n_queries"]) == (n_bits, n_queries):
            seconds = row["contenders"]["array, 2 threads"]["wall_p50_s"]
            return float(n_queries * row["n_codes"] / seconds)
    raise KeyError(f"{n_bits} bits, {n_queries} queries")


def _card_rates(record: Record, n_bits: int) -> tuple[float, float]:
    """Codes a second for one query, as a graph; comparisons a second for 1,024."""
    steps = record["steps"]
    row = steps["small_batches"]["rows"][f"{n_bits} bits"]
    one = row["contenders"]["Q=1, graph"]["bytes_per_second"] / (n_bits / 8)
    batch = steps["batches"]["rows"][f"{n_bits} bits, Q=1024"]["contenders"].values()
    return one, max(each["pairs_per_second"] for each in batch)


def _times(one: dict[str, float]) -> str:
    return f"{report.duration(one['wall_p50_s'])} / {report.duration(one['wall_p90_s'])}"


def _median(seconds: list[float]) -> str:
    return report.duration(float(np.median(seconds)))


def _power(n: int) -> str:
    return f"1e{round(math.log10(n))}"


def _bytes(n_bytes: float) -> str:
    """Three digits and a decimal unit."""
    for scale, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} B"


TABLES: dict[str, Callable[[Record], Lines]] = {
    "measured": measured,
    "trips": trips,
    "events": events,
    "sizes": sizes,
    "core": core,
    "card": card,
    "machines": machines,
    "cards": cards,
    "network": network,
}
NOTES: dict[str, Callable[[Record], str]] = {
    "measured": where,
    "trips": messages,
    "machines": beyond,
    "cards": beyond_cards,
}
