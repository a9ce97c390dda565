"""Damaged index files: refused in one sentence, or served as their bytes stand.

    python -m tests.hamming.fuzz_index_file --cases 10000 --seed 0

A case is a file with damage, loaded in six ways (mapped or not; verify None, True, False):
- a load that verifies refuses it, or has exactly what was saved (spaces of the header can change);
- any other refuses it, or answers exactly by the ids and codes that stand in the file;
- whatever is done with it then works or is refused in one sentence: no crash, no warning, nothing
  but ValueError.
Of a header that was changed and signed anew, the contents are what it says.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hamming
from tests.hamming import oracle
from tests.hamming.index_files import header_of, put, rows_of, signed, tensors_of

SENTENCE = re.compile(r"[^\n]+: expected [^\n]+, got [^\n]+; [^\n]+")
WAYS = [(mmap, verify) for mmap in (False, True) for verify in (None, True, False)]


def originals(folder: Path, rng: np.random.Generator) -> list[bytes]:
    """Whole files of several kinds."""
    files = []
    for n_bits in 1, 12, 64, 96, 203:
        for n in 0, 1, 7, 150:
            for ids in None, np.sort(rng.choice(10**6, n, False)), rng.choice(2**40, n, False):
                index = hamming.Index.from_codes(codes(rng, n, n_bits), n_bits, ids)
                index.save(folder / "original")
                files.append((folder / "original").read_bytes())
    return files


def codes(rng: np.random.Generator, n: int, n_bits: int) -> np.ndarray:
    return np.packbits(rng.integers(0, 2, (n, n_bits), dtype=np.uint8), axis=1)


def tensors_from(data: bytes, rng: np.random.Generator) -> int:
    """Where damage may begin: half of it is to tensors, since most of a small file is header."""
    start = len(data) - len(tensors_of(data))
    return start if start < len(data) and rng.random() < 0.5 else 0


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(data, np.uint8).copy()
    for place in rng.integers(tensors_from(data, rng), len(data), rng.integers(1, 9)):
        changed[place] ^= 1 << rng.integers(8)
    return changed.tobytes()


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def inserted(data: bytes, rng: np.random.Generator) -> bytes:
    at, size = rng.integers(len(data) + 1), int(rng.integers(1, 100))
    more = rng.bytes(size) if rng.random() < 0.5 else data[at : at + size] or b" "
    return data[:at] + more + data[at:]


def swapped(data: bytes, rng: np.random.Generator) -> bytes:
    start = tensors_from(data, rng)
    size = int(rng.integers(1, max(2, min(64, (len(data) - start) // 2))))
    first, second = sorted(rng.integers(start, len(data) - size + 1, 2).tolist())
    second = max(second, first + size)
    a, b = data[first : first + size], data[second : second + size]
    return data[:first] + b + data[first + size : second] + a + data[second + size :]


def resigned(data: bytes, rng: np.random.Generator) -> bytes:
    """Values of the header are others, and its checksum belongs to them."""
    header = header_of(data)
    metadata = header["__metadata__"]
    numbers = ["0", "1", "2", "7", "8", "13", "95", "-1", "150", str(2**24), str(2**63 - 1)]
    kinds = ["any", "ascending", "range:0", "range:5", f"range:{2**63 - 1}", "range:-1", "other"]
    softer = ["n_bits", "next_id", "ids"]  # what no other value of the header need contradict
    names = softer if rng.random() < 0.7 else [*softer, "count", "version", "dtype", "shape", "at"]
    for _ in range(1 if names is softer else rng.integers(1, 4)):
        name = rng.choice(names)
        entry: dict[str, Any] = header[rng.choice([n for n in header if n != "__metadata__"])]
        if name in ("n_bits", "count", "next_id", "version"):
            metadata[name] = str(rng.choice(numbers))
        elif name == "ids":
            metadata["ids"] = str(rng.choice(kinds))
        elif name == "dtype":
            entry["dtype"] = str(rng.choice(["U8", "I64", "I8", "F32", "BOOL", ""]))
        elif name == "shape":
            entry["shape"] = rng.integers(0, 10, rng.integers(0, 4)).tolist()
        else:
            entry["data_offsets"] = rng.integers(0, len(data), 2).tolist()
    return signed(header, tensors_of(data), pad=int(rng.integers(1, 65)))


DAMAGE = [flipped, flipped, cut, inserted, swapped, resigned]


def tried(call: Callable[[], Any]) -> Any:
    """What a call gives, or None where it refuses in one sentence."""
    try:
        return call()
    except ValueError as error:
        if type(error) is not ValueError or not SENTENCE.fullmatch(str(error)):
            raise
        return None


def check_answers(
    index: hamming.Index, ids: np.ndarray, rows: np.ndarray, sound: bool, rng: np.random.Generator
) -> None:
    """Searches of an index with these ids and codes; `sound`: ids are as an index has them."""
    np.testing.assert_array_equal(index.ids, ids)
    np.testing.assert_array_equal(index.codes, rows)
    queries, n, radius = codes(rng, 2, index.n_bits), len(ids), index.n_bits // 3
    mask, some = rng.random(n) < 0.5, ids[: n // 2]
    if n:
        k = int(rng.integers(1, n + 1))
        for allowed in None, mask:
            found = index.topk(queries, k, filter=allowed, threads=1)
            distances, best = oracle.topk(queries, rows, k, mask=allowed)
            np.testing.assert_array_equal(found.distances, distances)
            np.testing.assert_array_equal(found.indices, np.where(best < 0, -1, ids[best]))
        found = tried(lambda: index.topk(queries, k, filter=some, threads=1))
        if sound:
            distances, best = oracle.topk(queries, rows, k, mask=np.arange(n) < n // 2)
            np.testing.assert_array_equal(found.distances, distances)
            np.testing.assert_array_equal(found.indices, np.where(best < 0, -1, ids[best]))
    hits = index.radius_search(queries, radius, filter=mask, threads=1)
    expected = oracle.radius_search(queries, rows, radius, mask)
    np.testing.assert_array_equal(hits.offsets, expected[0])
    np.testing.assert_array_equal(hits.distances, expected[1])
    np.testing.assert_array_equal(hits.indices, ids[expected[2]])


def check_changes(
    index: hamming.Index, ids: np.ndarray, rows: np.ndarray, sound: bool, rng: np.random.Generator
) -> None:
    """Re-scoring, adding and removing."""
    n = len(ids)
    if n:
        floats = rng.standard_normal((1, index.n_bits)).astype(np.float32)
        scored = tried(lambda: index.rescore(floats, ids[None, : n // 2 + 1], 1))
        if sound:
            scores = oracle.scores(floats, rows, np.arange(n // 2 + 1)[None])
            assert abs(scored.scores[0, 0] - scores.max()) < 1e-3
    tried(lambda: index.add(codes(rng, 2, index.n_bits)))
    tried(lambda: index.add(codes(rng, 2, index.n_bits), ids=rng.integers(0, 2**40, 2)))
    tried(lambda: index.remove(ids[1::2]))
    left = len(index)
    if sound:
        assert len(np.unique(index.ids)) == left
        assert n - n // 2 <= left <= n - n // 2 + 4  # an add may find no number, or one taken
    if left:
        found = index.topk(codes(rng, 1, index.n_bits), left, threads=1)
        np.testing.assert_array_equal(np.sort(found.indices[0]), np.sort(index.ids))


def run_case(file: Path, data: bytes, damage: Callable[..., bytes], seed: int) -> Counter[str]:
    rng = np.random.default_rng(seed)
    damaged = damage(data, rng)
    put(file, damaged)
    seen: Counter[str] = Counter()
    for mmap, verify in WAYS:
        index = tried(
            lambda mmap=mmap, verify=verify: hamming.Index.load(file, mmap=mmap, verify=verify)
        )
        verified = verify or (verify is None and not mmap)
        if index is None:
            seen["refused"] += 1
            continue
        ids, rows = rows_of(damaged)
        own_ids, own_rows = rows_of(data)
        same = np.array_equal(ids, own_ids) and np.array_equal(rows, own_rows)
        if verified and damage is not resigned:
            assert same
        assert damage is resigned or header_of(damaged) == header_of(data)
        seen["as saved" if same else "as it stands"] += 1
        sound = same and (verified or damage is not resigned)
        check_answers(index, ids, rows, sound, rng)
        check_changes(index, ids, rows, sound, rng)
    return seen


def run(cases: int, first_seed: int = 0) -> Counter[str]:
    """What became of the loads, six a case; a case that fails is named by its seed."""
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        files = originals(Path(name), np.random.default_rng(0))
        for seed in range(first_seed, first_seed + cases):
            data, damage = files[seed % len(files)], DAMAGE[seed // len(files) % len(DAMAGE)]
            try:
                seen += run_case(Path(name) / "damaged", data, damage, seed)
            except Exception as error:
                error.add_note(f"{damage.__name__}: --cases 1 --seed {seed}")
                raise
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    outcome = run(options.cases, options.seed)
    print(f"{options.cases} cases, {sum(outcome.values())} loads: ", end="")
    print(", ".join(f"{count} {what}" for what, count in outcome.items()), end="")
    print(f"; {time.perf_counter() - began:.0f} s")
