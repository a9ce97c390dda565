"""Short names of the rows of a comparison, which tell them apart and no more."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from distill import tables
from distill.checkpoint import CONFIG, Run
from distill.config import differing_keys, unstated_keys

SEEDS = {"seed", "data.split_seed"}
"""Settings whose values are repetitions of one experiment."""
_OLDER = "older settings"
_MOST = 4
"""Settings that a name holds, the last of which may stand for the rest."""
_LONGEST = 24
"""Characters of a value that a name keeps."""
_VAGUE = {"name", "kind", "mode"}
"""Last parts of a key that say little without the table they are in."""


class RowName(NamedTuple):
    """What a row is called, and the settings behind it.

    Attributes:
        letter: A, B, ...: what stands for the row in figures.
        name: Method, bits, and what differs from the first row of the same method and bits.
        settings: The same in full: every such setting, with the value in either row.
    """

    letter: str
    name: str
    settings: str


def row_names(runs: Sequence[Run]) -> list[RowName]:
    """Return the names of rows, each given by its first run; no two are equal."""
    base = [f"{run.config.method} · {run.config.bits} bits" for run in runs]
    firsts = [base.index(each) for each in base]
    changes = [_changes(runs[first], run) for first, run in zip(firsts, runs, strict=True)]
    # In full only where rows would otherwise have one name.
    short = [_joined(*each, full=False) for each in zip(base, runs, changes, strict=True)]
    full = [_joined(*each, full=True) for each in zip(base, runs, changes, strict=True)]
    times = Counter(short)
    names = _unique([b if times[a] > 1 else a for a, b in zip(short, full, strict=True)])
    rows = zip(names, firsts, changes, runs, strict=True)
    return [
        RowName(letters(i), name, _in_full(changed, runs[first], run, letters(first)))
        for i, (name, first, changed, run) in enumerate(rows)
    ]


def letters(i: int) -> str:
    """Return A, B, ..., Z, AA, AB, ... for 0, 1, ..."""
    before, last = divmod(i, 26)
    return (letters(before - 1) if before else "") + chr(ord("A") + last)


def unstated(run: Run) -> list[str]:
    """Settings that a run's file does not state because it is older than they are."""
    return unstated_keys(run.path / CONFIG)


def _settings(run: Run) -> dict[str, Any]:
    return tables.flatten(tables.to_dict(run.config))


def _changes(first: Run, run: Run) -> list[str]:
    """Keys whose values differ from the first row's; what the run does not state is unknown."""
    left_out = SEEDS.union(unstated(run))
    return [key for key in differing_keys(first.config, run.config) if key not in left_out]


def _joined(base: str, run: Run, changed: Sequence[str], *, full: bool) -> str:
    settings = _settings(run)
    told = dict.fromkeys(
        f"{_tail(key, changed, settings)} {_shown(settings.get(key), full=full)}" for key in changed
    )
    parts = list(told)
    if not full and len(parts) > _MOST:
        parts[_MOST - 1 :] = [f"{len(parts) - _MOST + 1} more settings"]
    return " · ".join([base, *parts, *([_OLDER] if unstated(run) else [])])


def _tail(key: str, changed: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The shortest end of a key that means no setting of another value, here or in its table."""
    parts = key.split(".")
    table = f"{parts[0]}."
    near = {*changed, *(each for each in settings if each.startswith(table))}
    for n in range(1 + (parts[-1] in _VAGUE), len(parts)):
        tail = ".".join(parts[-n:])
        meant = [each for each in near if each.endswith(f".{tail}") or each == tail]
        if all(settings.get(each) == settings.get(key) for each in meant):
            return tail
    return key


def _shown(value: Any, *, full: bool) -> str:
    """A value in one line; of a path its last part, of a long text its beginning."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    joined = " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    text = " ".join(joined.split())
    if full:
        return text
    text = Path(text).name if text.startswith(os.sep) else text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _unique(names: Sequence[str]) -> list[str]:
    """Number the names that stand more than once, but for the first."""
    taken: list[str] = []
    for name in names:
        numbered = (name if n == 1 else f"{name} · no. {n}" for n in count(1))
        taken.append(next(each for each in numbered if each not in taken))
    return taken


def _in_full(changed: Sequence[str], first: Run, run: Run, letter: str) -> str:
    of_first, own, unknown = _settings(first), _settings(run), unstated(first)
    parts = []
    for key in changed:
        other = "unknown" if key in unknown else _shown(of_first.get(key), full=True)
        parts.append(f"{key} {_shown(own.get(key), full=True)} ({other} in {letter})")
    return ", ".join(parts)
