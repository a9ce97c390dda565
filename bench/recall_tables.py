"""The tables of bench/recall.py, for the screen and for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from statistics import mean, stdev

Lines = list[tuple[str, ...]]
SHOWN = (4, 10, 20, 100)
"""Candidates over k of the re-ranked columns."""
DEFAULT = 20


def by_stage(record: dict, data: str) -> Lines:
    """Mean recall of each kind of code after each stage."""
    columns = [f"float32 rows of {m} k" for m in SHOWN]
    columns += [f"int8 rows of {DEFAULT} k", f"float32 rows of the best {DEFAULT // 2} k"]
    lines: Lines = [("codes", "bits", "k", "codes alone", "re-scored", *columns)]
    at = [record["multiples"].index(m) for m in SHOWN]
    default = record["multiples"].index(DEFAULT)
    for rows in _cells(record, data):
        first = rows[0]
        cells = [_mean(rows, "codes"), _mean(rows, "rescored", default)]
        cells += [_mean(rows, "float32", i) for i in at]
        cells += [_mean(rows, "int8", default), _mean(rows, "half", default)]
        lines.append((first["codes"], str(first["n_bits"]), str(first["k"]), *cells))
    return lines


def shifted(record: dict) -> Lines:
    """Re-scoring by queries less the thresholds, and by the queries themselves."""
    lines: Lines = [("vectors", "k", "codes alone", "queries - threshold", "queries")]
    default = record["multiples"].index(DEFAULT)
    for data in ("text", "image"):
        for rows in _cells(record, data):
            if rows[0]["codes"] == "sign about the mean":
                kinds = [_mean(rows, name, default) for name in ("rescored", "unshifted")]
                lines.append((data, str(rows[0]["k"]), _mean(rows, "codes"), *kinds))
    return lines


def times(record: dict) -> Lines:
    """Time of a query alone and in a batch, and what is found."""
    found = record["times"]
    batches = sorted((key for key in found if key.isdigit()), key=int)
    heads = ["one query" if n == "1" else f"{n} at once, a query" for n in batches]
    lines: Lines = [("search", *heads, f"recall@{found['k']}")]
    for name, share in found["recall"].items():
        each = [found[n][name]["cpu_median_s"] / int(n) for n in batches]
        lines.append((name, *(f"{1e3 * seconds:.3g} ms" for seconds in each), f"{share:.3f}"))
    return lines


def note(record: dict, name: str) -> str:
    """What a table is of, and where it was measured."""
    facts, found = record["machine"], record["times"]
    where = (
        f"{facts['cpu']}, one thread, {facts['logical_cpus']} CPUs of which others used "
        f"{record['other_processes_cpus']:.1f}, numpy {facts['versions']['numpy']}, commit "
        f"{facts['git']['commit'][:7] if facts['git'] else 'unknown'}; `python bench/recall.py`."
    )
    if name == "times":
        return (
            f"{found['n']:,} drawn vectors of {found['dim']} values, {found['n_bits']} bits of "
            f"ITQ, k = {found['k']}, the default numbers of candidates, everything in memory. "
            f"Median CPU times. {where}"
        )
    data = ("text", "image") if name == "shifted" else (name,)
    rows = [row for row in record["rows"] if row["data"] in data]
    sizes = ", ".join(
        dict.fromkeys(
            f"{row['n_queries']} queries against {row['n']:,} vectors of {row['dim']} values"
            for row in rows
        )
    )
    spread = "" if name == "shifted" else _spread(record, data)
    return f"{sizes}. {spread}{where}"


def _spread(record: dict, data: Sequence[str]) -> str:
    cells = [rows for name in data for rows in _cells(record, name) if len(rows) > 1]
    names = ("rescored", "float32", "int8", "half")
    spreads = [stdev(row["recall"]["codes"] for row in rows) for rows in cells]
    for rows in cells:
        for name in names:
            at_each = zip(*(row["recall"][name] for row in rows), strict=True)
            spreads += [stdev(values) for values in at_each]
    if not spreads:
        return ""
    seeds = len(record["seeds"])
    return f"Mean of {seeds} seeds, whose standard deviation is at most {max(spreads):.3f}. "


def _cells(record: dict, data: str) -> Iterator[list[dict]]:
    """The rows of each code and k, one for each seed, in the order of codes, bits and k."""
    rows = [row for row in record["rows"] if row["data"] == data]
    kinds = list(dict.fromkeys(row["codes"] for row in rows))

    def place(row: dict) -> tuple[int, int, int]:
        return kinds.index(row["codes"]), row["n_bits"], row["k"]

    for _, cell in groupby(sorted(rows, key=place), place):
        yield list(cell)


def _mean(rows: Sequence[dict], name: str, i: int | None = None) -> str:
    found = [row["recall"][name] for row in rows]
    return f"{mean(each if i is None else each[i] for each in found):.3f}"


TABLES: dict[str, Callable[[dict], Lines]] = {
    "text": partial(by_stage, data="text"),
    "image": partial(by_stage, data="image"),
    "clusters": partial(by_stage, data="clusters"),
    "shifted": shifted,
    "times": times,
}
