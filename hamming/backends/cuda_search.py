"""Searches as sequences of kernel launches, the same on a GPU and on the emulation of the tests.

No step reads anything back, so that a search neither waits for the device nor breaks a CUDA graph;
`radius_search` alone must know the size of its result. Workspaces are the caller's memory for the
length of a call: everything runs on one stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import cuda_plan
from .cuda_launch import LISTS, Device, int64, over_lists, record_of, sort
from .cuda_plan import TUNING, Kernel, Scan, Shape, TopkPlan, Tuning

# Their twins are the structs of csrc/cuda/codes.cuh, select.cu and ties.cu; pointers are addresses.
SEARCH = np.dtype(
    [
        *((name, np.uint64) for name in ("codes", "mask", "queries", "limits")),
        *((name, np.uint64) for name in ("counts", "histograms", "hits", "starts")),
        *((name, np.int64) for name in ("n_bytes", "begin", "end")),
        *((name, np.int32) for name in ("n_queries", "n_words", "n_distances")),
    ],
    align=True,
)
SELECTION = np.dtype(
    [
        *((name, np.uint64) for name in ("limits", "counts", "histograms", "hits", "starts")),
        *((name, np.uint64) for name in ("kept", "flooded", "n_flooded", "wanted")),
        ("k", np.int64),
        *((name, np.int32) for name in ("n_queries", "n_distances")),
    ],
    align=True,
)
FLOODS = np.dtype(
    [
        *((name, np.uint64) for name in ("queries", "count", "wanted", "table")),
        *((name, np.int64) for name in ("chunk_codes", "n_chunks")),
    ],
    align=True,
)


@dataclass
class Selection:
    """The state of the selection for a block of queries, and the memory behind it."""

    n_queries: int
    n_distances: int
    arrays: dict[str, Any]
    record: np.void

    @classmethod
    def make(cls, device: Device, n_queries: int, n_distances: int, k: int, hits: Any) -> Selection:
        """Uninitialised memory; k = 0: only counts and hits, for a radius."""
        arrays = {
            "limits": device.empty(n_queries, np.uint32),
            "counts": device.empty(n_queries, np.uint64),
            "histograms": device.empty(n_queries * n_distances if k else 0, np.uint32),
            "hits": hits,
            "starts": device.empty(n_queries + 1, np.int64),
            "kept": device.empty(n_queries, np.uint64),
            "flooded": device.empty(n_queries, np.uint32),
            "n_flooded": device.empty(1, np.uint32),
            "wanted": device.empty(n_queries, np.uint64),
        }
        record = record_of(
            SELECTION,
            {name: device.address(array) for name, array in arrays.items()},
            k=k,
            n_queries=n_queries,
            n_distances=n_distances,
        )
        return cls(n_queries, n_distances, arrays, record)


@dataclass
class Searcher:
    """One database and one block of queries after another.

    Args:
        device: where all arrays lie.
        db: `(n_codes, n_bytes) uint8`, contiguous.
        mask: `(n_codes,)` bytes, non-zero = searchable; or None.
    """

    device: Device
    db: Any
    mask: Any
    tuning: Tuning = TUNING

    def shape(self, n_queries: int) -> Shape:
        n_codes, n_bytes = self.db.shape
        alignment = cuda_plan.alignment_of(self.device.address(self.db))
        return Shape(n_queries, n_codes, n_bytes, alignment)

    def words(self, queries: Any) -> Any:
        """Queries `(n_queries, n_bytes) uint8` as zero-padded words."""
        n_queries, n_bytes = queries.shape
        n_words = (n_bytes + 3) // 4
        words = self.device.empty(n_queries * n_words, np.uint32)
        args = [queries, words, *int64(n_queries, n_bytes, n_words)]
        self._launch_over("select.cu", "pad_words", n_queries * n_words, args)
        return words

    def search(self, shape: Shape, words: Any, selection: Selection) -> np.void:
        """The record of a scan over all rows."""
        address = self.device.address
        arrays = selection.arrays
        return record_of(
            SEARCH,
            {name: address(arrays[name]) for name in ("limits", "counts", "hits", "starts")},
            codes=address(self.db),
            mask=address(self.mask),
            queries=address(words),
            histograms=address(arrays["histograms"]) if selection.record["k"] else 0,
            n_bytes=shape.n_bytes,
            begin=0,
            end=shape.n_codes,
            n_queries=shape.n_queries,
            n_words=shape.n_words,
            n_distances=shape.n_distances,
        )

    def topk(self, queries: Any, k: int, distances: Any, indices: Any) -> None:
        """Fills `(n_queries, k)` int32 distances and int64 indices."""
        n_queries = queries.shape[0]
        plan = cuda_plan.topk_plan(self.shape(n_queries), k, self.tuning)
        for first in range(0, n_queries, plan.query_tile):
            part = slice(first, min(first + plan.query_tile, n_queries))
            self._topk_block(plan, queries[part], k, distances[part], indices[part])

    def _topk_block(
        self, plan: TopkPlan, queries: Any, k: int, distances: Any, indices: Any
    ) -> None:
        device, n_queries = self.device, queries.shape[0]
        shape = self.shape(n_queries)
        words = self.words(queries)
        hits = device.empty(n_queries * plan.capacity, np.uint64)
        selection = Selection.make(device, n_queries, shape.n_distances, k, hits)
        cells = n_queries * shape.n_distances
        self._launch_over("select.cu", "start", cells, [selection.record, np.int64(plan.capacity)])
        search = self.search(shape, words, selection)
        if plan.n_runs:
            self._sample(shape, plan, search)
            self._select("bound", selection)
        scan = cuda_plan.scan_for(shape, device.facts, self.tuning)
        table = device.empty(n_queries * self.tuning.tie_chunks, np.uint32)
        for begin, end in plan.segments:
            search["begin"], search["end"] = begin, end
            self._scan(scan, shape, search)
            self._select("tighten", selection)
            if end > plan.capacity:
                self._place_ties(shape, search, selection, table)
            last = end == shape.n_codes
            self._select("trim", selection, np.int64(k if last else 0))
        spare = device.empty(n_queries * plan.capacity if k > cuda_plan.SORT_TILE else 0, np.uint64)
        lists = self.lists(selection, hits, spare)
        sort(device, lists, k)
        over_lists(device, "write_hits", lists, k, [np.int64(k), distances, indices])

    def lists(self, selection: Selection, keys: Any, spare: Any) -> np.void:
        """The hits of each query, to be sorted."""
        address = self.device.address
        return record_of(
            LISTS,
            {name: address(selection.arrays[name]) for name in ("starts", "counts")},
            keys=address(keys),
            spare=address(spare),
            n_lists=selection.n_queries,
        )

    def _sample(self, shape: Shape, plan: TopkPlan, search: np.void) -> None:
        scan = cuda_plan.popc_scan(shape, self.device.facts)
        counters = 4 * scan.queries * shape.n_distances
        shared = counters if counters <= 48 * 1024 else 0
        facts = self.device.facts
        kernel = cuda_plan.popc_kernel("sample", shape, facts, scan.queries, shared)
        grid = cuda_plan.scan_grid(
            scan, shape.n_queries, plan.n_runs * plan.run_codes, facts, self.tuning
        )
        args = [search, *int64(plan.n_runs, plan.run_codes), np.int32(shared > 0)]
        self.device.launch(kernel, grid, args)

    def _scan(self, scan: Scan, shape: Shape, search: np.void) -> None:
        rows = int(search["end"] - search["begin"])
        grid = cuda_plan.scan_grid(scan, shape.n_queries, rows, self.device.facts, self.tuning)
        self.device.launch(scan.kernel, grid, [search])

    def _place_ties(self, shape: Shape, search: np.void, selection: Selection, table: Any) -> None:
        """What a flood of the segment leaves to do; without one the kernels return at once."""
        rows = int(search["end"] - search["begin"])
        chunk_codes = cuda_plan.tie_chunk_codes(rows, self.tuning)
        address, arrays = self.device.address, selection.arrays
        floods = record_of(
            FLOODS,
            queries=address(arrays["flooded"]),
            count=address(arrays["n_flooded"]),
            wanted=address(arrays["wanted"]),
            table=address(table),
            chunk_codes=chunk_codes,
            n_chunks=-(-rows // chunk_codes),
        )
        uncounted = search.copy()
        uncounted["histograms"] = 0  # the scan has counted them
        facts = self.device.facts
        grid = (2 * facts.n_sms, 1)  # few: without floods they start for nothing
        for entry in ("count_ties", "place_ties"):
            kernel = cuda_plan.popc_kernel(entry, shape, facts, 1)
            self.device.launch(kernel, grid, [uncounted, floods])

    def _select(self, entry: str, selection: Selection, *args: np.generic) -> None:
        kernel = Kernel("select.cu", entry, block=1024 if entry == "trim" else 256)
        self.device.launch(kernel, (selection.n_queries, 1), [selection.record, *args])

    def _launch_over(self, file: str, entry: str, items: int, args: Sequence[Any]) -> None:
        """A kernel whose threads stride over items."""
        blocks = self.device.facts.n_sms * self.tuning.blocks_per_sm
        self.device.launch(Kernel(file, entry), (max(1, min(blocks, -(-items // 256))), 1), args)

    def distance(self, queries: Any, out: Any) -> None:
        """Fills `(n_queries, n_codes) int32`."""
        shape = self.shape(queries.shape[0])
        facts = self.device.facts
        scan = cuda_plan.popc_scan(shape, facts)
        selection = Selection.make(self.device, shape.n_queries, shape.n_distances, 0, None)
        self._launch_over(
            "select.cu", "start_radius", shape.n_queries + 1, [selection.record, np.uint32(0)]
        )
        words = self.words(queries)
        search = self.search(shape, words, selection)
        kernel = cuda_plan.popc_kernel("distances", shape, facts, scan.queries)
        grid = cuda_plan.scan_grid(scan, shape.n_queries, shape.n_codes, facts, self.tuning)
        self.device.launch(kernel, grid, [search, out, np.int64(shape.n_codes)])

    def count_within(self, queries: Any, radius: int) -> RadiusHits:
        """How many codes lie within a radius of each query; waits for the device."""
        device, n_queries = self.device, queries.shape[0]
        shape = self.shape(n_queries)
        selection = Selection.make(device, n_queries, shape.n_distances, 0, None)
        self._launch_over(
            "select.cu", "start_radius", n_queries + 1, [selection.record, np.uint32(radius + 1)]
        )
        words = self.words(queries)
        search = self.search(shape, words, selection)
        for begin, end in _long_segments(shape.n_codes):
            search["begin"], search["end"] = begin, end
            self._scan(cuda_plan.scan_for(shape, device.facts, self.tuning), shape, search)
        sizes = device.empty(2, np.uint64)
        device.launch(Kernel("select.cu", "place_lists"), (1, 1), [selection.record, sizes])
        total, longest = map(int, device.read(sizes))
        return RadiusHits(selection, words, total, longest)

    def write_within(self, found: RadiusHits, distances: Any, indices: Any) -> None:
        """Fills the `(total,)` int32 distances and int64 indices of what was counted."""
        device, selection = self.device, found.selection
        shape = self.shape(selection.n_queries)
        hits = device.empty(found.total, np.uint64)
        spare = device.empty(found.total if found.longest > cuda_plan.SORT_TILE else 0, np.uint64)
        search = self.search(shape, found.words, selection)
        search["hits"] = device.address(hits)
        for begin, end in _long_segments(shape.n_codes):
            search["begin"], search["end"] = begin, end
            self._scan(cuda_plan.scan_for(shape, device.facts, self.tuning), shape, search)
        lists = self.lists(selection, hits, spare)
        sort(device, lists, found.longest)
        args = [np.int64(0), distances, indices]
        over_lists(device, "write_hits", lists, found.longest, args)


@dataclass
class RadiusHits:
    """What a radius search has counted: in all, and of the query that has most."""

    selection: Selection
    words: Any
    total: int
    longest: int

    @property
    def offsets(self) -> Any:
        """`(n_queries + 1,) int64`."""
        return self.selection.arrays["starts"]


def _long_segments(n_codes: int) -> list[tuple[int, int]]:
    step = cuda_plan.MAX_SEGMENT
    return [(begin, min(begin + step, n_codes)) for begin in range(0, n_codes, step)]
