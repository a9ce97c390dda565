"""The emulation itself: small kernels that are right, and ones that it must find wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda.emulation import emulation
from tests.cuda.emulation.emulation import Emulator
from tests.cuda.emulation.toys import SEEDS, launch, words

POISON = 0xA5A5A5A5


def collective(kernel: str, n_out: int, dtype: type = np.uint32, **options: Any) -> np.ndarray:
    out = np.zeros(n_out, dtype)
    launch("collectives.cu", kernel, out, **options)
    return out


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_warp_collectives(seed: int) -> None:
    out = collective("shuffles", 64 * 8, np.int32, block=64, seed=seed).reshape(2, 32, 8)
    lane = np.arange(32)
    expected = [
        np.full(32, 5),
        lane // 8 * 8 + (lane + 1) % 8,
        np.where(lane >= 3, lane - 3, lane),
        np.where(lane % 16 < 13, lane + 3, lane),
        lane ^ 7,
    ]
    for warp in range(2):
        for column, value in enumerate(expected):
            np.testing.assert_array_equal(out[warp, :, column], value + 100 * warp)
    ballot = sum(1 << i for i in range(0, 32, 3))
    assert (out[..., 5].view(np.uint32) == ballot).all()
    assert (out[..., 6] == 1).all()
    assert (out[..., 7] == 9).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lanes_with_the_same_value(seed: int) -> None:
    lane = np.arange(32)
    same = (lane[:, None] % 5 == lane % 5) @ (1 << lane)
    found = collective("matches", 64, block=64, seed=seed)
    np.testing.assert_array_equal(found.reshape(2, 32), [same, same])


@pytest.mark.parametrize("seed", SEEDS)
def test_half_a_warp_may_meet_on_its_own(seed: int) -> None:
    lane = np.arange(32)
    expected = np.where(lane < 16, lane ^ 1, 0) + (1 << 20)
    np.testing.assert_array_equal(collective("half_warp", 32, seed=seed), expected)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("different_collectives", r"(__ballot|__shfl)_sync at line .* needs lanes .* which are in"),
        ("different_masks", r"__ballot_sync at line .* needs lanes"),
        ("mask_without_caller", r"mask 0xffff lacks the calling lane"),
        ("lane_has_ended", r"deadlock: .*ended.*__ballot_sync|deadlock: __ballot_sync .*ended"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wrong_collectives_are_reported(kernel: str, message: str, seed: int) -> None:
    with pytest.raises(RuntimeError, match=message):
        collective(kernel, 32, seed=seed)


def test_activemask_is_not_offered(tmp_path: Path) -> None:
    kernel = 'extern "C" __global__ void masks(unsigned* out) { *out = __activemask(); }'
    (tmp_path / "masks.cu").write_text(kernel)
    with pytest.raises(RuntimeError, match="__activemask"):
        Emulator(source_dir=tmp_path).launch("masks.cu", "masks", {}, (1, 1, 1), 32, 0, [None])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_barriers_with_votes(seed: int) -> None:
    out = collective("barrier_counts", 64, np.int32, block=64, seed=seed)
    expected = np.full(64, 31 + 1000 + 4000)
    expected[3] = 0
    np.testing.assert_array_equal(out, expected)


def test_a_missing_barrier_shows_in_shuffled_schedules() -> None:
    expected = np.maximum(np.arange(256), np.arange(256) % 32)
    expected[32:] -= 32
    found = 0
    for seed in SEEDS:
        right = collective("neighbours", 256, block=256, seed=seed)
        np.testing.assert_array_equal(right, expected)
        defines = {"WITHOUT_BARRIER": 1}
        out = collective("neighbours", 256, block=256, seed=seed, defines=defines)
        found += not np.array_equal(out, expected)
    assert found > len(SEEDS) // 3


@pytest.mark.parametrize("seed", SEEDS)
def test_named_barriers(seed: int) -> None:
    out = collective("handed_over", 192, block=128, shared=256, seed=seed)
    expected = 10 * np.arange(63, -1, -1) + np.arange(3)[:, None]
    np.testing.assert_array_equal(out.reshape(3, 64), expected)


def test_a_deadlock_says_who_waits_for_what() -> None:
    with pytest.raises(RuntimeError, match="deadlock: every thread") as caught:
        launch("collectives.cu", "stuck", block=128)
    text = str(caught.value)
    assert "threads 0..31 wait in mbarrier_wait for parity 0" in text
    assert "threads 32..63 wait in __syncthreads at collectives.cu:" in text
    assert "threads 64..127 wait in named_barrier 3 of 256 threads" in text
    launch("memory.cu", "blocks", np.zeros(1, np.uint32))  # the next launch is none the worse


@pytest.mark.parametrize("options", [(), ("-DEMULATED_UCONTEXT",)])
def test_arguments_and_blocks(options: tuple[str, ...]) -> None:
    numbers = np.zeros(1, np.dtype([("large", np.uint64), ("small", np.int32)], align=True))[0]
    numbers["large"], numbers["small"] = 2**63 + 1, 12
    out = np.zeros(4, np.uint64)
    launch("memory.cu", "sizes", numbers, out, np.float32(1), None, options=options)
    assert out.tolist() == [2**63 + 1, 12, 0x3F800000, 1]
    for seed in (0, 1):
        blocks = np.zeros(3 * 4 * 5, np.uint32)
        launch("memory.cu", "blocks", blocks, grid=(3, 4, 5), seed=seed, options=options)
        assert (blocks == 33).all()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([np.zeros(1, np.uint64)], "expected 4 arguments, got 1"),
        ([np.uint64(0), None, np.float32(0), None], "parameter 0: expected 16 bytes, got uint64"),
        ([np.zeros(16, np.uint8), None, np.float32(0), None], "parameter 0: .* got an array"),
        ([np.zeros(1, "V16")[0], np.uint64(0), np.float32(0), None], "parameter 1: .* got uint64"),
        ([np.zeros(1, "V16")[0], None, np.float64(0), None], "parameter 2: .*float64 of 8"),
        ([np.zeros(1, "V16")[0], None, np.float32(0), 0], "parameter 3: .* got int"),
        ([np.zeros(1, "V16")[0], np.zeros(9, "u8")[::2], np.float32(0), None], "C-contiguous"),
    ],
)
def test_wrong_arguments(args: list[Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        launch("memory.cu", "sizes", *args)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": (0, 1, 1)}, "grid"),
        ({"grid": (1, 65536, 1)}, "grid"),
        ({"block": 0}, "block of 0 threads"),
        ({"block": 1025}, "block of 1025 threads"),
        ({"shared": 227 * 1024}, "shared memory"),
    ],
)
def test_wrong_configurations(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        launch("memory.cu", "fresh", np.zeros(3, np.uint32), **options)


@pytest.mark.parametrize("seed", [0, 1])
def test_shared_memory_is_poison_in_every_block(seed: int) -> None:
    out = np.zeros(12, np.uint32)
    launch("memory.cu", "fresh", out, grid=(4, 1, 1), block=1, shared=32, seed=seed)
    assert (out == POISON).all()
    launch("memory.cu", "addresses", out, block=1, shared=64, seed=seed)
    assert out[:3].tolist() == [16, 48, 0]  # aligned to 16 bytes, and no more


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("misaligned", "__ldcs: address .* not a multiple of 16"),
        ("misaligned_plainly", "memory.cu:.*not one for its type"),
        ("misaligned_copy", "copy_async from global memory: address .* not a multiple of 16"),
        ("overrun", "written past the 64 bytes of dynamic shared memory, at offset 70"),
        ("overflow", "memory.cu:.*a sum overflows"),
    ],
)
def test_wrong_accesses_are_reported(kernel: str, message: str) -> None:
    source = np.zeros(8, np.uint64)
    source = source if source.ctypes.data % 16 == 0 else source[1:]
    with pytest.raises(RuntimeError, match=message):
        launch("memory.cu", kernel, source, np.uint64([0, 70]), block=1, shared=64, sanitize=True)


def test_memory_that_is_not_there() -> None:
    values = emulation.guarded_empty(9, np.uint32)
    launch("memory.cu", "blocks", values, grid=(9, 1, 1))
    assert (values == np.uint32(POISON) + 33).all()
    with pytest.raises(RuntimeError, match=r"block \(12, 0, 0\), thread 0: no memory may be used"):
        launch("memory.cu", "blocks", values, grid=(13, 1, 1))
    with pytest.raises(RuntimeError, match="no memory may be used"):
        launch("memory.cu", "blocks", None)
    with pytest.raises(RuntimeError, match="no memory may be used"):
        launch("memory.cu", "deep", np.ones(1, np.int32))
    with pytest.raises(RuntimeError, match="divided by zero"):
        launch("memory.cu", "divide", np.zeros(1, np.int32))


def test_copies_come_between_issue_and_wait() -> None:
    source = np.uint64([11, 22])
    seen = {wait: set() for wait in (0, 1, 2)}
    for wait, results in seen.items():
        for seed in SEEDS:
            out = np.zeros(2, np.uint64)
            args = ("memory.cu", "copies", source, out)
            launch(*args, block=1, shared=16, seed=seed, defines={"WAIT": wait})
            results.add(tuple(out.tolist()))
    poison = POISON << 32 | POISON
    assert {(11, 22), (poison, poison)} <= seen[0]
    assert seen[1] == {(11, 22), (11, poison)}
    assert seen[2] == {(11, 22)}


@pytest.mark.parametrize("without", [None, "WITHOUT_FULL", "WITHOUT_EMPTY"])
def test_a_ring_of_mbarriers(without: str | None) -> None:
    n = 9
    values = words(n, 32)
    expected = np.roll(values.sum(axis=0, dtype=np.uint32), -1)
    wrong = 0
    for seed in SEEDS:
        out = np.zeros(128, np.uint32)
        defines = {without: 1} if without else {}
        try:
            args = ("memory.cu", "ring", values, out, np.int32(n))
            launch(*args, block=128, seed=seed, defines=defines)
        except RuntimeError:  # phases are missed, and somebody waits forever
            out[:] = 0
        wrong += not np.array_equal(out.reshape(4, 32)[1:], np.tile(expected, (3, 1)))
    assert wrong > len(SEEDS) // 3 if without else wrong == 0


def test_a_compiled_kernel_is_found_again(tmp_path: Path) -> None:
    source = tmp_path / "kernels"
    source.mkdir()
    file = source / "one.cu"
    build = tmp_path / "build"
    build.mkdir()
    for runtime in emulation.BUILD.glob("runtime-*.so"):
        (build / runtime.name).symlink_to(runtime)

    def result(text: str) -> int:
        file.write_text(f'extern "C" __global__ void one(int* out) {{ *out = {text}; }}')
        emulation._compiled.cache_clear()
        out = np.zeros(1, np.int32)
        emulator = Emulator(build, source_dir=source)
        emulator.launch("one.cu", "one", {}, (1, 1, 1), 1, 0, [out])
        return int(out[0])

    assert [result("1"), result("2"), result("1")] == [1, 2, 1]
    assert len(list(build.glob("one-*.so"))) == 2
    assert not list(build.glob("*.tmp"))
