"""Several runs beside each other: one page that holds all it shows, or tables in Markdown."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from distill.files import write_text
from distill.metrics.scores import Table, direction_label, sides
from distill.report.compared import curves, differences, overview, score_table
from distill.report.groups import (
    Entry,
    Group,
    check_distinct,
    grouped,
    scored_directions,
    statement,
)
from distill.report.page import Compared, render
from distill.report.panels import compared_panels
from distill.types import DistillError

SUFFIXES = (".html", ".md")
N_QUERIES = 6
SHOWN = ("text_to_image", "image_to_text", "student_to_teacher", "teacher_to_teacher")
"""Directions whose hits are shown; of runs that have none of them, the first two."""
TITLE = "Comparison of runs"
APART = (
    "These runs do not share one dataset and split: scores of different rows are comparable only "
    "where data, queries and database are the same."
)
OWN_CHANCE = (
    " Chance is that of all queries and items; a direction that only some of them have is shown "
    "with its own below."
)
SPREAD = "Mean ± sample standard deviation of runs that differ in their seeds only."


def check_out(out: Path) -> None:
    """Refuse a file of another kind, or where none can be written.

    Raises:
        DistillError: The name ends in something else, or its folder is missing or read-only.
    """
    if out.suffix not in SUFFIXES:
        raise DistillError(
            f"compare: expected a file that ends in {' or '.join(SUFFIXES)}, got {out.name}; "
            "name such a file"
        )
    if out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise DistillError(
            f"compare: expected a file in a folder that can be written, got {out}; "
            "make the folder or name another"
        )


def write_comparison(entries: Iterable[Entry], out: Path, *, seed: int = 0) -> Path:
    """Write a comparison of evaluated runs as a self-contained HTML page, or as Markdown tables.

    The first run's group is the one that differences are taken from.

    Args:
        entries: The runs, at least one, with their datasets and evaluations.
        out: .html or .md file, replaced as a whole or not at all.
        seed: Chooses the queries that are shown, from the query split.

    Raises:
        DistillError: No such kind of file, a run is incomplete, or two are the same.
    """
    check_out(out)
    entries = tuple(entries)
    check_distinct([entry.run for entry in entries])
    groups = grouped(entries)
    write_text(out, _page(groups, seed) if out.suffix == ".html" else _markdown(groups))
    return out


def _sections(groups: Sequence[Group]) -> list[tuple[str, str, Table]]:
    """Titles, notes and tables, in the order of either kind of file."""
    apart = any(entry.evaluation.shares for group in groups for entry in group.entries)
    note = f"Over the whole ranking. {SPREAD}{OWN_CHANCE * apart}"
    found = [("MAP", note, overview(groups))]
    if len(groups) > 1 and groups[0].directions:
        first = groups[0].label
        told = (
            f"MAP minus that of {first}, the first one named, with the 95 % interval of a paired "
            "bootstrap over queries (10,000 resamples); a row's runs are averaged query by query, "
            "split by split."
        )
        found.append((f"Difference from {first}", told, differences(groups)))
    found += [
        (f"Queries → database: {direction_label(name)}", SPREAD, score_table(groups, name))
        for name in scored_directions(groups)
    ]
    return found


def _page(groups: Sequence[Group], seed: int) -> str:
    figures: list[tuple[str, Markup]] = []
    for name in scored_directions(groups):
        figures += curves(groups, name)
    return render(
        "comparison.html",
        title=TITLE,
        statement=statement(groups),
        apart=None if _together(groups) else APART,
        key=groups if len(groups) > 1 else (),
        sections=_sections(groups),
        figures=figures,
        chosen=f"Drawn at random from the query split of {groups[0].label} (seed {seed}), not "
        "by their results; a line is the first run of its row on that split.",
        panels=_panels(groups, seed),
    )


def _markdown(groups: Sequence[Group]) -> str:
    stated = statement(groups)
    parts = [f"# {TITLE}"] + [_escaped(APART)] * (not _together(groups))
    for title, note, table in _sections(groups):
        parts += [f"## {_escaped(title)}", _escaped(note), _markdown_table(table), _escaped(stated)]
    if told := [group for group in groups if group.settings]:
        lines = (f"- {_escaped(f'{group.label}: {group.settings}')}" for group in told)
        # The key stands beside the overview, which is the first of the sections.
        parts.insert(parts.index(_escaped(stated)) + 1, "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [f"| {' | '.join(map(_escaped, line))} |" for line in (table.columns, *table.rows)]
    marks = "|---" + "|---:" * (len(table.columns) - 1) + "|"
    return "\n".join([lines[0], marks, *lines[1:]])


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in "\\`*_[]<>|$~&#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _together(groups: Sequence[Group]) -> bool:
    return len({tuple(group.splits) for group in groups}) == 1


def _panels(groups: Sequence[Group], seed: int) -> list[tuple[str, list[Compared]]]:
    """For every direction that is shown, the same queries with the hits of every group."""
    dataset = groups[0].first.dataset
    same = [group for group in groups if dataset.fingerprint in group.splits]
    runs = {group.letter: group.splits[dataset.fingerprint][0].run for group in same}
    query = dataset.splits["query"]
    # Of their numbers: an array without queries is read-only, and would be shuffled in place.
    drawn = query[np.random.default_rng(seed).permutation(len(query))]
    scored = scored_directions(same)
    found = []
    for place, name in enumerate([name for name in SHOWN if name in scored] or scored[:2]):
        asked, stored = sides(name)
        having = drawn[dataset.has(asked)[drawn]]
        # Other queries in the next direction, where there are enough.
        rows = np.roll(having, -place * N_QUERIES)[:N_QUERIES]
        codes = {
            group.label: (runs[group.letter].codes(asked), runs[group.letter].codes(stored))
            for group in same
            if name in group.directions
        }
        panels = compared_panels(dataset, codes, rows, asked=asked, against=stored)
        found.append((direction_label(name), panels))
    return found
