"""Fitted binarisers: what their bits are, what they refuse, and that they come back from disk."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distill import binarize
from distill.binarize import Binarizer, Itq, MedianThreshold, RandomRotation
from distill.types import DistillError

Floats = NDArray[np.float32]
KINDS: dict[str, Callable[[], Binarizer]] = {
    "median": MedianThreshold,
    "rotation": lambda: RandomRotation(12, seed=3),
    "itq": lambda: Itq(12, seed=3),
}


@pytest.fixture(params=KINDS)
def binarizer(request: pytest.FixtureRequest) -> Binarizer:
    return KINDS[request.param]()


def embeddings(n: int = 300, dim: int = 20, seed: int = 0) -> Floats:
    """Of falling variance, correlated, and far from 0."""
    random = np.random.default_rng(seed)
    mixing = np.linalg.qr(random.standard_normal((dim, dim)))[0] * np.linspace(3, 0.1, dim)
    return (random.standard_normal((n, dim)) @ mixing.T + 5).astype(np.float32)


def bits(packed: NDArray[np.uint8], n_bits: int) -> NDArray[np.uint8]:
    return np.unpackbits(packed, axis=1)[:, :n_bits]


def test_codes_are_the_packed_signs_of_the_values(binarizer: Binarizer) -> None:
    x = embeddings()
    assert binarizer.fit(x) is binarizer
    values, codes = binarizer.values(x), binarizer.codes(x)
    n_bits = values.shape[1]
    assert (values.dtype, codes.dtype) == (np.float32, np.uint8)
    assert codes.shape == (300, (n_bits + 7) // 8)
    assert np.array_equal(codes, np.packbits(values > 0, axis=1))
    assert binarizer.codes(x[:0]).shape == (0, (n_bits + 7) // 8)


def test_blocks_and_kinds_of_arrays_change_nothing(
    binarizer: Binarizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = embeddings()
    codes = binarizer.fit(x).codes(x)
    for same in (torch.from_numpy(x).requires_grad_(), x.astype(np.float64), x.tolist()):
        assert np.array_equal(binarizer.codes(same), codes)
    assert np.array_equal(binarizer.fit(torch.from_numpy(x)).codes(x), codes)
    monkeypatch.setattr(binarize, "_ROWS", 64)
    monkeypatch.setattr(binarize, "_COLUMNS", 7)
    assert np.array_equal(binarizer.codes(x), codes)
    assert np.array_equal(binarizer.fit(x).codes(x), codes)


def test_half_precision_tensors(binarizer: Binarizer) -> None:
    x = torch.from_numpy(embeddings()).to(torch.bfloat16)
    assert np.array_equal(binarizer.fit(x).codes(x), binarizer.codes(x.double()))


def test_median_bits_split_the_rows_in_halves() -> None:
    x = np.nextafter(np.float32(1), np.float32([[0], [2], [0], [2]]))  # their mean rounds
    assert MedianThreshold().fit(x).codes(x).tolist() == [[0], [128], [0], [128]]
    x = embeddings(301)
    found = bits(MedianThreshold().fit(x).codes(x), 20)
    assert (found.sum(axis=0) == 150).all()
    assert np.array_equal(found, x > np.median(x, axis=0))


@pytest.mark.parametrize("n_bits", [1, 8, 20, 33])
def test_random_rotation(n_bits: int) -> None:
    x = embeddings()
    fitted = RandomRotation(n_bits, seed=1).fit(x)
    rotation = fitted.projection
    assert rotation is not None
    assert rotation.shape == (20, n_bits)
    for start in range(0, n_bits, 20):
        block = rotation[:, start : start + 20]
        assert np.allclose(block.T @ block, np.eye(block.shape[1]))
    centred = x - x.astype(np.float64).mean(axis=0)
    assert np.allclose(fitted.values(x), centred @ rotation, atol=1e-4)
    assert not np.allclose(RandomRotation(n_bits, seed=2).fit(x).projection, rotation)


def quantization_error(values: Floats) -> float:
    return float(np.square(np.where(values > 0, 1, -1) - values.astype(np.float64)).sum())


def test_itq_never_raises_the_quantisation_error() -> None:
    x = embeddings()
    steps = [0, 1, 2, 3, 5, 10, 50]
    errors = [quantization_error(Itq(12, n_iterations=n).fit(x).values(x)) for n in steps]
    assert all(b <= a * (1 + 1e-6) for a, b in pairwise(errors))
    assert errors[-1] < 0.97 * errors[0]


@pytest.mark.parametrize("seed", range(5))
def test_itq_beats_random_rotations(seed: int) -> None:
    x = embeddings(seed=seed)
    ours = quantization_error(Itq(20, seed=seed).fit(x).values(x))
    assert ours < quantization_error(RandomRotation(20, seed=seed).fit(x).values(x))


def test_itq_is_a_rotation_of_the_principal_components() -> None:
    from sklearn.decomposition import PCA

    x = embeddings().astype(np.float64)
    fitted = Itq(6).fit(x)
    assert fitted.projection is not None
    assert np.allclose(fitted.projection.T @ fitted.projection, np.eye(6))
    axes = PCA(6).fit(x).components_.T
    assert np.allclose(fitted.projection @ fitted.projection.T, axes @ axes.T, atol=1e-8)


def test_itq_finds_the_corners() -> None:
    """Rotated corners of a cube come back as the cube, up to order and sign of its axes."""
    random = np.random.default_rng(0)
    corners = random.choice([-1.0, 1.0], (400, 4))
    corners = np.concatenate([corners, -corners])
    rotation = np.linalg.qr(random.standard_normal((4, 4)))[0]
    errors = [
        quantization_error(Itq(4, seed=s).fit(corners @ rotation).values(corners @ rotation))
        for s in range(5)
    ]
    assert min(errors) < 1e-6


def test_seed_and_row_count() -> None:
    x = embeddings()
    assert np.array_equal(Itq(12, seed=3).fit(x).codes(x), Itq(12, seed=3).fit(x).codes(x))
    assert not np.array_equal(Itq(12, seed=3).fit(x).codes(x), Itq(12, seed=4).fit(x).codes(x))
    assert Itq(20).fit(x[:20]).codes(x).shape == (300, 3)


def test_saved_and_loaded(binarizer: Binarizer, tmp_path: Path) -> None:
    x = embeddings()
    file = tmp_path / "new" / "fit.safetensors"
    binarizer.fit(x).save(file)
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    for loaded in (Binarizer.load(file), type(binarizer).load(str(file))):
        assert repr(loaded) == repr(binarizer)
        assert np.array_equal(loaded.codes(x), binarizer.codes(x))


def test_a_failed_write_leaves_the_old_file(
    binarizer: Binarizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "fit.safetensors"
    binarizer.fit(embeddings()).save(file)
    old = file.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        binarizer.fit(embeddings(seed=1)).save(file)
    assert file.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_files_of_others_are_refused(binarizer: Binarizer, tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    with pytest.raises(FileNotFoundError):
        Binarizer.load(file)
    file.write_bytes(b"no tensors")
    with pytest.raises(DistillError, match=r"path: expected a file of Binarizer.save, got .*; fit"):
        Binarizer.load(file)
    binarizer.fit(embeddings()).save(file)
    other = MedianThreshold if isinstance(binarizer, Itq) else Itq
    kind = type(binarizer).__name__
    with pytest.raises(DistillError, match=rf"path: expected {other.__name__}, got {kind} in"):
        other.load(file)


def test_unfitted(binarizer: Binarizer, tmp_path: Path) -> None:
    for use in (binarizer.codes, binarizer.values):
        with pytest.raises(DistillError, match=r": expected a fitted binariser, got .*; call fit"):
            use(embeddings())
    with pytest.raises(DistillError, match="expected a fitted binariser"):
        binarizer.save(tmp_path / "fit")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(binarizer: Binarizer, bad: float) -> None:
    x = embeddings()
    codes = binarizer.fit(x).codes(x)
    wrong = x.copy()
    wrong[7, 3] = bad
    for use in (binarizer.fit, binarizer.codes, binarizer.values):
        with pytest.raises(DistillError, match=r"expected finite numbers, got NaN or .* in row 7"):
            use(wrong)
    assert np.array_equal(binarizer.codes(x), codes)


def test_wrong_shapes(binarizer: Binarizer) -> None:
    x = embeddings()
    for wrong in (x[0], x[None], x[:, :0], np.array([["a"]])):
        with pytest.raises(DistillError, match=r"embeddings: expected numbers of shape \(n, wid"):
            binarizer.fit(wrong)
    with pytest.raises(DistillError, match="expected at least one row to fit to, got none"):
        binarizer.fit(x[:0])
    with pytest.raises(DistillError, match="expected width 20 as fitted, got 19"):
        binarizer.fit(x).codes(x[:, :19])


def test_wrong_settings() -> None:
    with pytest.raises(DistillError, match=r"n_bits: expected at most 20 for 300 .* got 21; take"):
        Itq(21).fit(embeddings())
    with pytest.raises(DistillError, match=r"n_bits: expected at most 9 for 9 .* got 10; take"):
        Itq(10).fit(embeddings(9))
    for kind in (Itq, RandomRotation):
        with pytest.raises(DistillError, match=r"n_bits: expected at least 1, got 0"):
            kind(0)
    with pytest.raises(DistillError, match=r"n_iterations: expected 0 or more, got -1"):
        Itq(8, n_iterations=-1)
