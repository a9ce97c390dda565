"""How what an index lacks gets there: decoded, encoded, and committed every so often."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from distill.data.base import BadImages
from distill.index_folder import IndexFolder
from distill.index_format import IndexItem
from distill.index_plan import Plan, Work, compare
from distill.index_writer import Changes, IndexWriter
from distill.item_files import Found, Stamp
from distill.progress import progress_bar
from distill.queries import open_image
from distill.types import DistillError
from distill.words import shortened

BATCH = 64
"""Items that are encoded together."""
BATCH_PIXELS = 1 << 28
"""At most about so many in a batch of pictures, at three bytes each."""
AHEAD = 8
"""Pictures that are decoded while others are encoded."""

Encode = Callable[[Sequence[Any]], NDArray[np.uint8]]
"""RGB images or texts -> packed codes (n, n_bytes)."""
_Loaded = Generator[tuple[Work, Any], None, None]


@dataclass
class Report:
    """What was done: numbers of items, `gone` those that were kept."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: int = 0
    gone: int = 0
    total: int = 0


class _Batch(NamedTuple):
    """Encoded items, their codes, and the ids whose places they take."""

    items: list[IndexItem]
    codes: NDArray[np.uint8]
    replaced: list[int]


@dataclass
class _Pending:
    """What is to be committed next; each step of filling it is a whole one, if interrupted too."""

    skipped: dict[str, Stamp | None]
    batches: list[_Batch] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)


def update(
    writer: IndexWriter,
    found: Sequence[Found],
    encode: Encode,
    *,
    bad_images: BadImages = "refuse",
    prune: bool = False,
    commit_seconds: float = 10.0,
    batch: int | None = None,
) -> Report:
    """Encode what the index lacks and commit it every so often.

    Whatever ends this early, what was encoded until then is committed; only a process that is
    killed loses what it encoded since its last commit.

    Args:
        writer: of the index.
        found: all items of the sources that are given.
        encode: makes their codes.
        bad_images: what to do with a picture that cannot be read: "refuse" commits what comes
            before it and raises; "skip" names it on stderr.
        prune: remove items that their sources have no longer.
        commit_seconds: time between commits.
        batch: items that are encoded together; None = `BATCH`.

    Raises:
        DistillError: a picture cannot be read and is not to be skipped.
        OSError: the index cannot be written.
    """
    plan = compare(writer.state, found, retry=bad_images == "refuse")
    _tell(plan)
    report = Report(
        unchanged=plan.n_unchanged, skipped=plan.n_skipped, gone=0 if prune else len(plan.gone)
    )
    pending = _Pending(dict(plan.skipped))
    try:
        if plan.retold:
            _add(writer, pending, report, plan.retold, _codes_of(writer.state, plan.retold))
        last = time.monotonic()
        kind = writer.state.manifest.about.kind
        batches = _batches(plan.encode, kind, batch or BATCH)
        with progress_bar(f"{kind}s", len(plan.encode), unit=f"{kind}s") as advance:
            for works, loaded in batches:
                good, inputs, refused = _readable(works, loaded, pending, report, bad_images)
                if good:
                    _add(writer, pending, report, good, encode(inputs))
                if refused is not None:
                    raise refused
                advance(len(works))
                if time.monotonic() - last >= commit_seconds:
                    _commit(writer, pending)
                    last = time.monotonic()
        if prune:
            pending.removed += [item.id for item in plan.gone]
            report.removed += len(plan.gone)
    finally:
        if writer.usable:
            _commit(writer, pending)
    report.total = writer.state.manifest.n_items
    return report


def _tell(plan: Plan) -> None:
    """Name what the numbers of the report do not tell."""
    if plan.gone:
        names = [item.path or item.text for item in plan.gone]
        print(f"gone: {shortened(names)}", file=sys.stderr)
    if plan.n_repeated:
        print(f"given again: {plan.n_repeated}, of which the first is indexed", file=sys.stderr)


def _codes_of(state: IndexFolder, works: Sequence[Work]) -> NDArray[np.uint8]:
    """The codes of items that are in the index."""
    n_bytes = (state.manifest.about.n_bits + 7) // 8
    codes = [state.code(work.old.id) for work in works if work.old is not None]
    return np.array(codes, np.uint8).reshape(-1, n_bytes)


def _add(
    writer: IndexWriter,
    pending: _Pending,
    report: Report,
    works: Sequence[Work],
    codes: NDArray[np.uint8],
) -> None:
    items = []
    for found, old in works:
        text = found.text if found.text is not None else old.text if old is not None else ""
        source = writer.source(found.source) if old is None else old.source
        items.append(IndexItem(-1, found.path, text, found.stamp, source))
    replaced = [old.id for _, old in works if old is not None]
    pending.batches.append(_Batch(items, codes, replaced))
    report.added += len(items) - len(replaced)
    report.changed += len(replaced)


def _commit(writer: IndexWriter, pending: _Pending) -> None:
    if not any([pending.batches, pending.removed, pending.skipped != writer.state.skipped]):
        return
    # Taken out first: what is interrupted here is encoded again, and never committed twice.
    batches, pending.batches = pending.batches, []
    removed, pending.removed = pending.removed, []
    n_bytes = (writer.state.manifest.about.n_bits + 7) // 8
    codes = np.concatenate([np.empty((0, n_bytes), np.uint8), *(b.codes for b in batches)])
    items = [item for batch in batches for item in batch.items]
    removed = removed + [item_id for batch in batches for item_id in batch.replaced]
    writer.commit(Changes(items, codes, removed, dict(pending.skipped)))


def _readable(
    works: Sequence[Work],
    loaded: Sequence[Any],
    pending: _Pending,
    report: Report,
    bad_images: BadImages,
) -> tuple[list[Work], list[Any], DistillError | None]:
    """What is to be encoded of a batch, and why it ends there, where a picture is refused.

    An old item whose picture cannot be read any more, and is skipped, goes.
    """
    good: list[Work] = []
    inputs: list[Any] = []
    for work, each in zip(works, loaded, strict=True):
        if not isinstance(each, DistillError):
            good.append(work)
            inputs.append(each)
            continue
        if bad_images == "refuse":
            return good, inputs, each
        print(f"skipped {each}", file=sys.stderr)
        if work.old is not None:
            pending.removed.append(work.old.id)
            report.removed += 1
        pending.skipped[work.found.path] = work.found.stamp
        report.skipped += 1
    return good, inputs, None


def _batches(works: Sequence[Work], kind: str, size: int) -> Iterator[tuple[list[Work], list[Any]]]:
    """Works with what is to be encoded, a batch at a time, of not too many pixels."""
    batch: list[Work] = []
    inputs: list[Any] = []
    pixels = 0
    with closing(_loaded(works) if kind == "image" else _texts(works)) as pairs:
        for work, each in pairs:
            batch.append(work)
            inputs.append(each)
            pixels += each.width * each.height if isinstance(each, Image.Image) else 0
            if len(batch) == size or pixels >= BATCH_PIXELS:
                yield batch, inputs
                batch, inputs, pixels = [], [], 0
    if batch:
        yield batch, inputs


def _texts(works: Sequence[Work]) -> _Loaded:
    for work in works:
        yield work, work.found.text


def _loaded(works: Sequence[Work]) -> _Loaded:
    """Works with their pictures, which threads decode some way ahead."""
    waiting: deque[tuple[Work, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(max_workers=min(4, len(os.sched_getaffinity(0))))
    try:
        for work in works:
            waiting.append((work, pool.submit(_picture, work.found.path)))
            if len(waiting) > AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _picture(path: str) -> Image.Image | DistillError:
    try:
        return open_image(Path(path))
    except DistillError as error:
        return error
