"""How a search is laid out on a GPU: which kernel, for how many queries, over which segments.

Pure functions of the shape and of facts about the device, tested without one. Every constant says
where it comes from: "assumed" ones follow from the design's arithmetic and wait for a measurement
on a card (`bench/gpu.py`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

Variant = Literal["popc", "mma", "wgmma"]

SORT_TILE = 2048  # kSortTile of sort.cu
# Rows of a segment: histograms count in 32 bits, and one distance floods one segment only.
MAX_SEGMENT = 2**31
# Segments and chunks begin at multiples of so many rows, so that loads of 16 bytes stay aligned.
ROW_UNIT = 2048


class Kernel(NamedTuple):
    """One compiled kernel: a file of csrc/cuda, its entry, and what is defined for it."""

    file: str
    entry: str
    defines: tuple[tuple[str, int], ...] = ()
    block: int = 256
    shared: int = 0  # bytes of dynamic shared memory


@dataclass(frozen=True)
class Facts:
    """What a plan needs to know of a device.

    Attributes:
        capability: compute capability, (9, 0) for Hopper.
        n_sms: streaming multiprocessors.
    """

    capability: tuple[int, int]
    n_sms: int


@dataclass(frozen=True)
class Tuning:
    """Sizes that decide speed and memory, never results. Tests shrink them.

    Attributes:
        mma_queries: from so many queries on, multiply. Measured on an H100: at 3 population counts
            keep up with memory at every width, at 4 multiplies are as fast or faster
            (bench/results/gpu-h100.json).
        wgmma_queries: from so many on, Hopper's asynchronous multiplies of codes of at least
            `wgmma_words` words, up to `wgmma_most` queries. Measured there: at 1024 bits they win
            by 1 to 16 % from 128 to 512 queries, and lose elsewhere.
        workspace_bytes: of one call, beside its result; queries are taken in parts. Assumed.
        hits_per_k: room for hits, in k. Assumed: segments that grow by `growth` find less than
            growth * k hits in any order but the worst, and half of the room is theirs.
        least_hits: the least room for a query's hits. Assumed.
        sample_codes: codes of the sample that sets the first limit, at least; 64 k if that is more.
            Measured there: 2^18 is best, 2^16 costs 5 %, 2^22 nothing to 8 %.
        growth: rows of a segment, in rows before it. Measured on an H100 (gpu-h100-second.json):
            8 is best for a query of 64 bits.
        batch_growth: the same of a large batch, whose hits cost more than launches; 2 to 4 are best
            there for 1024 queries of 256 bits, 8 costs 7 % more and 16 costs 37 %.
        large_batch: queries that make one. Assumed.
        tie_chunks: chunks a flooded segment is cut into. Assumed.
        blocks_per_sm: blocks of 256 threads that share the tiles. Measured there: more than fit
            beside each other, so that the last ones are short, gain 1 %.
        first_samples: rows of the first segment at most, in rows of the sample: where all codes are
            equal, all of it are hits. Assumed; less costs a segment more and floods less.
        tally: whether hits of the multiplies are added up in the warp before they are counted in
            memory. For floods, which cost a batch 8 times a search of random codes on an H100
            (gpu-h100.json); off until a card has measured it.
    """

    mma_queries: int = 4
    wgmma_queries: int = 65
    wgmma_words: int = 32
    wgmma_most: int = 1023
    workspace_bytes: int = 2**30
    hits_per_k: int = 32
    least_hits: int = 4096
    sample_codes: int = 2**18
    growth: int = 8
    batch_growth: int = 4
    large_batch: int = 129
    tie_chunks: int = 512
    blocks_per_sm: int = 64
    first_samples: int = 8
    tally: bool = False


TUNING = Tuning()


@dataclass(frozen=True)
class Shape:
    """A search; `alignment`, a power of two up to 16, divides the database's address."""

    n_queries: int
    n_codes: int
    n_bytes: int
    alignment: int

    @property
    def row_alignment(self) -> int:
        """What divides the address of every row."""
        return min(self.alignment, self.n_bytes & -self.n_bytes)

    @property
    def n_words(self) -> int:
        """32-bit words a code."""
        return (self.n_bytes + 3) // 4

    @property
    def n_distances(self) -> int:
        """Distances there can be, 0 included."""
        return 8 * self.n_bytes + 1


@dataclass(frozen=True)
class Scan:
    """A kernel that looks for hits, and how many queries and codes one block of it takes."""

    variant: Variant
    kernel: Kernel
    queries: int
    codes: int


@dataclass(frozen=True)
class TopkPlan:
    """The launches of a top-k search.

    Attributes:
        query_tile: queries that share the workspace; the others follow.
        capacity: hits a query has room for.
        n_runs: runs of `run_codes` codes that are sampled; 0 = no sample.
        segments: consecutive row ranges; floods of one cannot happen while it ends within
            `capacity`.
    """

    query_tile: int
    capacity: int
    n_runs: int
    run_codes: int
    segments: tuple[tuple[int, int], ...]


def alignment_of(address: int) -> int:
    """The largest power of two up to 16 that divides an address."""
    return (address | 16) & -(address | 16)


@functools.lru_cache(maxsize=1024)  # launches ask again and again
def scan_for(shape: Shape, facts: Facts, tuning: Tuning = TUNING) -> Scan:
    """The kernel that suits a batch: see csrc/cuda/scan_*.cu."""
    if _wgmma_pays(shape, tuning) and wgmma_runs(shape, facts):
        return _tallied(wgmma_scan(shape), tuning)
    if shape.n_queries >= tuning.mma_queries and mma_runs(shape, facts):
        return _tallied(mma_scan(shape, facts), tuning)
    return popc_scan(shape, facts)


def _tallied(scan: Scan, tuning: Tuning) -> Scan:
    """With the hits added up beforehand, if they are to be: see csrc/cuda/hits.cuh."""
    if not tuning.tally:
        return scan
    defines = (*scan.kernel.defines, ("HAMMING_TALLY", 1))
    return replace(scan, kernel=scan.kernel._replace(defines=defines))


def _wgmma_pays(shape: Shape, tuning: Tuning) -> bool:
    many = tuning.wgmma_queries <= shape.n_queries <= tuning.wgmma_most
    return many and shape.n_words >= tuning.wgmma_words


def wgmma_runs(shape: Shape, facts: Facts) -> bool:
    """Whether scan_wgmma takes the shape: Hopper alone has its instruction."""
    return facts.capability == (9, 0) and shape.n_words <= 32


def mma_runs(shape: Shape, facts: Facts) -> bool:
    """Whether scan_mma takes the shape: native from sm_80 to sm_90, emulated by later ones."""
    return (8, 0) <= facts.capability < (10, 0) and shape.n_words <= 64


@functools.lru_cache(maxsize=1024)
def popc_scan(shape: Shape, facts: Facts) -> Scan:
    """Population counts: any width, any device."""
    words, lanes = popc_words(shape)
    # Registers: the words of eight queries at most. Three or fewer get a kernel of their number,
    # all others the same one, so that few are compiled.
    queries = min(8, 32 // max(1, words // lanes)) if words else 1
    if shape.n_queries <= 3:
        queries = max(1, min(queries, shape.n_queries))
    return Scan("popc", popc_kernel("scan_popc", shape, facts, queries), queries, ROW_UNIT)


def popc_words(shape: Shape) -> tuple[int, int]:
    """HAMMING_WORDS of the population-count kernels, and the lanes that split a code."""
    words = shape.n_words
    if shape.row_alignment == 16:
        lanes = next(lanes for lanes in (8, 4, 2, 1) if words // 4 % lanes == 0)
        if words // lanes <= 16:
            return words, lanes
    return (words, 1) if words <= 16 else (0, 1)


@functools.lru_cache(maxsize=1024)
def popc_kernel(entry: str, shape: Shape, facts: Facts, queries: int, shared: int = 0) -> Kernel:
    """A kernel of scan_popc.cu or ties.cu."""
    file = "ties.cu" if entry.endswith("_ties") else "scan_popc.cu"
    defines = {
        "HAMMING_WORDS": popc_words(shape)[0],
        # Rows of 4 and 8 bytes are loaded several at a time.
        "HAMMING_ALIGN": shape.alignment
        if shape.n_bytes in (4, 8) and shape.alignment == 16
        else _load_bytes(shape.row_alignment),
        "HAMMING_QUERIES": queries,
        # Consumer Ampere and Ada count half as many bits a clock as they compare. Assumed.
        "HAMMING_CARRY_SAVE": int(facts.capability in ((7, 5), (8, 6), (8, 9), (12, 0))),
    }
    return Kernel(file, entry, tuple(defines.items()), shared=shared)


def mma_scan(shape: Shape, facts: Facts) -> Scan:
    """1-bit multiplies of 8 to 64 queries with 16 codes."""
    steps = (shape.n_words + 7) // 8
    # What fits beside the codes in 128 registers, which tests/cuda/test_compile.py looks at.
    fitting = {1: 8, 2: 5, 3: 5, 4: 4, 5: 3, 6: 2}.get(steps, 1)
    if facts.capability != (9, 0):  # no instruction for the least of three
        fitting -= 1
    columns = max(1, min(fitting, (shape.n_queries + 7) // 8))
    # Groups of 16 codes that a warp loads together. Few queries wait for memory, and have registers
    # left; long codes and loads of single bytes fill them.
    ahead = 2 if steps == 1 else 1
    if columns <= 2 and steps <= 2:
        ahead *= 2
    if shape.row_alignment < 4 or steps > 4:
        ahead = 1
    defines = {
        "HAMMING_WORDS": shape.n_words,
        "HAMMING_ALIGN": _load_bytes(shape.row_alignment),
        "HAMMING_QUERIES": 8 * columns,
        "HAMMING_AHEAD": ahead,
    }
    kernel = Kernel("scan_mma.cu", "scan_mma", tuple(defines.items()))
    return Scan("mma", kernel, 8 * columns, 128 * ahead)


def wgmma_scan(shape: Shape) -> Scan:
    """Asynchronous 1-bit multiplies of 128 queries with tiles of 128 codes."""
    steps = (shape.n_words + 7) // 8
    pitch = {1: 32, 2: 64}.get(steps, 128)
    stages = 12 if pitch <= 64 else 8
    defines = {
        "HAMMING_WORDS": shape.n_words,
        "HAMMING_ALIGN": _load_bytes(shape.row_alignment),
        "HAMMING_STAGES": stages,
    }
    # Tiles with their norms, terms and barriers, up to a swizzle's pattern before them, and the
    # buffers of eight warps (kBuffered hits).
    shared = stages * (128 * pitch + 2 * 4 * 128 + 2 * 8) + 8 * pitch + 8 * 8 * 512
    kernel = Kernel("scan_wgmma.cu", "scan_wgmma", tuple(defines.items()), 384, shared)
    return Scan("wgmma", kernel, 128, 128)


def _load_bytes(alignment: int) -> int:
    return alignment if alignment >= 4 else 1


def scan_grid(
    scan: Scan, n_queries: int, n_codes: int, facts: Facts, tuning: Tuning = TUNING
) -> tuple[int, int]:
    """Blocks: groups of queries by stripes of the codes.

    Groups come first, so that those of one stripe run together and read it from memory once.
    """
    groups = -(-n_queries // scan.queries)
    tiles = max(1, -(-n_codes // scan.codes))
    if scan.variant == "wgmma":
        # One block fills a multiprocessor; 64 tiles hide its start. Assumed.
        return groups, max(1, min(tiles, 65535, max(facts.n_sms // groups, tiles // 64)))
    stripes = facts.n_sms * tuning.blocks_per_sm // groups
    return groups, max(1, min(tiles, 65535, stripes))


@functools.lru_cache(maxsize=1024)
def topk_plan(shape: Shape, k: int, tuning: Tuning = TUNING) -> TopkPlan:
    """Memory, sample and segments of a search for the k nearest."""
    room = max(tuning.least_hits, tuning.hits_per_k * k, 4 * k)
    capacity = min(room, max(shape.n_codes, k))
    per_query = workspace_of_query(shape, k, capacity, tuning)
    query_tile = max(1, min(shape.n_queries, tuning.workspace_bytes // per_query))
    n_runs, run_codes = _sample(shape, k, tuning)
    first = capacity
    if sampled := n_runs * run_codes:
        # Of the sample, k codes lie within the limit; four times as many with those at the limit
        # itself (distances are few), and half of the room is for them. But not much more than the
        # sample: where all codes are equal, all of the first segment are hits.
        first = min(capacity * sampled // (8 * k), tuning.first_samples * sampled)
    growth = tuning.batch_growth if shape.n_queries >= tuning.large_batch else tuning.growth
    return TopkPlan(
        query_tile, capacity, n_runs, run_codes, _segments(shape.n_codes, first, growth)
    )


def workspace_of_query(shape: Shape, k: int, capacity: int, tuning: Tuning = TUNING) -> int:
    """Bytes of a query: hits, where merges move them, histogram, tie counts, words, numbers."""
    merged = capacity if k > SORT_TILE else 0
    return (
        8 * (capacity + merged) + 4 * (shape.n_distances + tuning.tie_chunks + shape.n_words) + 48
    )


def _sample(shape: Shape, k: int, tuning: Tuning) -> tuple[int, int]:
    """Runs and their codes: an eighth of the rows at most, and enough to hold k."""
    # For large batches a sixteenth, because population counts compare a sample. Assumed.
    share = 16 if shape.n_queries >= tuning.large_batch else 1
    codes = min(max(tuning.sample_codes // share, 64 * k), shape.n_codes // 8)
    run_codes = max(64, codes // 256 // 64 * 64)
    n_runs = codes // run_codes
    return (n_runs, run_codes) if n_runs * run_codes >= 4 * k else (0, 0)


def _segments(n_codes: int, first: int, growth: int) -> tuple[tuple[int, int], ...]:
    bounds = [0]
    while bounds[-1] < n_codes:
        rows = first if bounds[-1] == 0 else growth * bounds[-1]
        rows = max(ROW_UNIT, min(rows, MAX_SEGMENT) // ROW_UNIT * ROW_UNIT)
        left = n_codes - bounds[-1]
        # A short last segment would cost as many launches as the others.
        bounds.append(n_codes if left <= min(rows + rows // 4, MAX_SEGMENT) else bounds[-1] + rows)
    return tuple(pairwise(bounds))


def tie_chunk_codes(rows: int, tuning: Tuning = TUNING) -> int:
    """Codes of a chunk of a flooded segment."""
    return max(ROW_UNIT, -(-rows // tuning.tie_chunks // ROW_UNIT) * ROW_UNIT)
