"""Emulated matrix multiplies against popc(a & b), with the layouts of wgmma_b1.md."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulation.toys import SEEDS, launch, words


def popcounts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.bitwise_count(a[:, None] & b[None]).sum(axis=2, dtype=np.int32)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_mma(steps: int) -> None:
    a, b = words(16, 8 * steps, 1), words(8, 8 * steps, 2)
    out = np.zeros((16, 8), np.int32)
    launch("multiplies.cu", "mma", a, b, out, defines={"STEPS": steps})
    np.testing.assert_array_equal(out, popcounts(a, b))


def wgmma(steps: int = 1, mode: int = 0, seed: int = 0, **defines: int) -> tuple[bool, bool]:
    """Whether each of the two products is right."""
    a, b = words(128, 8 * steps, 1), words(128, 8 * steps, 2)
    out = np.zeros((128, 128), np.int32)
    launch(
        *("multiplies.cu", "wgmma", a, b, out),
        block=128,
        shared=32 * 128 * steps + 1024,
        seed=seed,
        defines={"STEPS": steps, "MODE": mode, **defines},
    )
    expected = popcounts(a, b)
    return np.array_equal(out[:64], expected[:64]), np.array_equal(out[64:], expected[64:])


@pytest.mark.parametrize(("steps", "mode"), [(1, 0), (2, 0), (4, 0), (1, 3), (2, 2), (4, 1)])
def test_wgmma(steps: int, mode: int) -> None:
    assert all(wgmma(steps, mode, seed) == (True, True) for seed in range(4))


def test_wgmma_reads_poison_without_the_proxy_fence() -> None:
    for seed in SEEDS:
        assert wgmma(seed=seed, WITHOUT_PROXY_FENCE=1) == (False, False)
        early = {"PROXY_FENCE_TOO_EARLY": 1, "WITHOUT_PROXY_FENCE": 1}
        assert wgmma(seed=seed, **early) == (False, False)


def test_accumulators_are_garbage_before_the_wait() -> None:
    assert all(wgmma(seed=seed, READ_EARLY=1) == (True, False) for seed in SEEDS)


@pytest.mark.parametrize("change", ["CHANGE_A", "CHANGE_B"])
def test_operands_are_read_until_the_wait(change: str) -> None:
    results = {wgmma(seed=seed, **{change: 1}) for seed in SEEDS}
    assert len(results) > 1  # read early and late
    assert (True, True) in results


@pytest.mark.parametrize(
    ("define", "message"),
    [
        ("WITHOUT_FENCE", "no wgmma_fence"),
        ("SECOND_WITHOUT_FENCE", "no wgmma_fence"),
        ("BASE_OFFSET", "a base offset of 1"),
        ("LEAVE_UNDER_WAY", "ended with wgmma under way"),
    ],
)
def test_wrong_wgmma_is_reported(define: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        wgmma(**{define: 1})


def test_wgmma_outside_shared_memory() -> None:
    with pytest.raises(RuntimeError, match="outside the dynamic shared memory"):
        wgmma(TILE_AHEAD=2048)


def test_wgmma_needs_the_whole_warpgroup() -> None:
    out = np.zeros(128, np.int32)
    with pytest.raises(RuntimeError, match="warp 3 has issued 0 wgmma, others of its warpgroup 1"):
        launch("multiplies.cu", "three_warps", out, block=128, shared=4096)
    with pytest.raises(RuntimeError, match="no whole warpgroup"):
        launch("multiplies.cu", "three_warps", out, block=96, shared=4096)
