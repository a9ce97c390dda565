"""The tables of bench/index.py, for the screen and for a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from . import report
from .shapes import short

KINDS = {
    "gaps": "ascending ids with gaps",
    "none": "no ids given",
    "shuffled": "ids in no order",
}


def parts(record: dict, which: str | None = None) -> list[dict]:
    """All parts, or those of a kind of ids: "gaps", "none", "shuffled"."""
    return [part for part in record["parts"] if which in (None, part["ids"])]


def title(part: dict) -> str:
    return f"{short(part['n_codes'])} codes of {part['n_bits']} bits, {KINDS[part['ids']]}"


def table(part: dict) -> list[tuple[str, ...]]:
    """Head and a line per step: medians, and the memory of the steps that it was measured of."""
    names = list(part["configurations"])
    measured = any("peak_bytes" in one for row in part["rows"] for one in _found(row, names))
    lines = [("step", *names, *(f"{name}, MiB" for name in names if measured))]
    for row in part["rows"]:
        found = _found(row, names)
        memory = [_memory(one) for one in found] if measured else []
        lines.append((row["step"], *map(_time, found), *memory))
    return lines


def _found(row: dict, names: Sequence[str]) -> list[dict[str, Any]]:
    return [row["contenders"].get(name, {}) for name in names]


def _time(found: dict[str, Any]) -> str:
    return report.duration(found["wall_p50_s"]) if found else "-"


def _memory(found: dict[str, Any]) -> str:
    """At the peak, and what is kept and no file stands behind."""
    peak, kept = found.get("peak_bytes"), found.get("kept_anonymous_bytes")
    if peak is None or kept is None:
        return "-"
    return f"{peak / 2**20:.0f} / {max(0, kept) / 2**20:.0f}"


def note(record: dict) -> str:
    """What was measured, how, and where."""
    facts = record["machine"]
    versions, commit = facts["versions"], facts["git"]["commit"][:7] if facts["git"] else "unknown"
    command = re.sub(r" --out \S+", "", " ".join(record["command"]))
    selects = "a heap" if record["faiss_use_heap"] else "counting"
    return (
        f"{facts['cpu']}, {facts['logical_cpus']} CPUs of which others used "
        f"{record['other_processes_cpus']:.1f}, one thread each, commit {commit}, faiss-cpu "
        f"{versions['faiss-cpu']} (selecting by {selects}, the faster here), numpy "
        f"{versions['numpy']}; `python {command}`. Medians of the wall time, k={record['k']}. "
        "MiB: by how much a process's resident memory rose at the peak of the step, and what was "
        "kept in the end without pages of files; codes and ids that were passed in not counted. "
        "First answer: load and one search in a fresh process, the file in the page cache. faiss "
        "has no checksums and no fsync: the first save has an fsync of ours added for it. Its "
        "IDMap2 keeps a hash table of ids, IDMap does without; neither notices an id that comes "
        "twice. Filters by ids: faiss makes an IDSelectorBatch in the call, or has a bitmap from "
        "before."
    )


def sizes(record: dict) -> str:
    """Of the files."""
    found = []
    for part in record["parts"]:
        for row in part["rows"]:
            bytes_of = {
                name: one["file_bytes"]
                for name, one in row["contenders"].items()
                if "file_bytes" in one
            }
            if bytes_of:
                words = ", ".join(f"{name} {n / 1e6:.1f} MB" for name, n in bytes_of.items())
                found.append(f"{title(part)}: {words}")
    return f"Files: {'; '.join(found)}." if found else ""


def screen(record: dict) -> str:
    """Everything, in plain lines."""
    lines = []
    for part in record["parts"]:
        lines += [title(part), *(" | ".join(line) for line in table(part)), ""]
    return "\n".join([*lines, *filter(None, (sizes(record), note(record)))])
