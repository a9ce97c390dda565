"""Arrays of other libraries: same kind out, no copy, one device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hamming
from hamming import arrays
from tests.hamming import oracle

DB = np.random.default_rng(0).integers(0, 256, (50, 8), dtype=np.uint8)


class Producer:
    """A DLPack producer that is neither NumPy nor torch."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_torch_in_torch_out() -> None:
    queries, db = torch.from_numpy(DB[:3]), torch.from_numpy(DB)
    mask = torch.arange(50) % 2 == 0
    for result, expected in [
        (hamming.topk(queries, db, 4, mask=mask), hamming.topk(DB[:3], DB, 4, mask=mask.numpy())),
        (hamming.radius_search(queries, db, 30), hamming.radius_search(DB[:3], DB, 30)),
    ]:
        for got, want in zip(result, expected, strict=True):
            assert isinstance(got, torch.Tensor)
            np.testing.assert_array_equal(got.numpy(), want)
    assert isinstance(hamming.distance(queries, db), torch.Tensor)
    assert isinstance(hamming.unpack(db), torch.Tensor)
    merged = hamming.merge_topk([hamming.topk(queries, db, 4)] * 2, 8)
    assert isinstance(merged.indices, torch.Tensor)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_packing_torch_dtypes_and_gradients(backend: str, dtype: torch.dtype) -> None:
    x = torch.randn(5, 70, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    codes = hamming.pack(x)
    assert isinstance(codes, torch.Tensor)
    assert codes.dtype == torch.uint8
    expected = np.packbits((x.detach().double() > 0).numpy(), axis=1)
    np.testing.assert_array_equal(codes.numpy(), expected)


def test_packing_torch_bool_and_per_bit_threshold_tensor(backend: str) -> None:
    bits = torch.tensor([[True, False, True]])
    assert hamming.pack(bits).tolist() == [[0b10100000]]
    x = torch.tensor([[0.5, 0.5, 0.5]])
    assert hamming.pack(x, threshold=torch.tensor([0.4, 0.5, 0.6])).tolist() == [[0b10000000]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_rescoring_torch_dtypes_and_gradients(backend: str, dtype: torch.dtype) -> None:
    x = torch.randn(4, 24, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    db = hamming.pack(torch.randn(50, 24, generator=torch.Generator().manual_seed(2)))
    found = hamming.topk(hamming.pack(x), db, 10)
    result = hamming.rescore(x, db, found.indices, 3)
    assert isinstance(result.scores, torch.Tensor)
    assert result.scores.dtype == torch.float32
    expected = oracle.scores(x.detach().double().numpy(), db.numpy(), found.indices.numpy())
    np.testing.assert_allclose(result.scores.numpy(), -np.sort(-expected)[:, :3], atol=1e-4)


def test_dlpack_producers_give_numpy() -> None:
    result = hamming.topk(Producer(DB[:3]), Producer(DB), 4)
    assert isinstance(result.indices, np.ndarray)
    np.testing.assert_array_equal(result.indices, hamming.topk(DB[:3], DB, 4).indices)
    assert hamming.pack(Producer(np.ones((1, 8), np.float32))).tolist() == [[255]]


class TorchProducer:
    """A DLPack producer of a dtype that NumPy does not have."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


def test_bfloat16_from_any_producer() -> None:
    x = torch.tensor([[1.0, -1.0]], dtype=torch.bfloat16)
    codes = hamming.pack(TorchProducer(x))
    assert isinstance(codes, np.ndarray)
    assert codes.tolist() == [[128]]


def test_host_arrays_are_not_copied() -> None:
    for x in (DB, torch.from_numpy(DB), Producer(DB)):
        view = arrays.contiguous(arrays.host(x, "x").array)
        assert np.shares_memory(view, DB)


def test_big_endian_floats_and_half() -> None:
    x = np.array([[1.0, -1.0]])
    assert hamming.pack(x.astype(">f8")).tolist() == [[128]]
    assert hamming.pack(x.astype(np.float16)).tolist() == [[128]]


def test_mixed_devices() -> None:
    meta = torch.empty((50, 8), dtype=torch.uint8, device="meta")
    with pytest.raises(
        ValueError, match=r"db_codes: expected device cpu like query_codes, got meta; move both"
    ):
        hamming.topk(DB[:2], meta, 1)
    with pytest.raises(
        ValueError, match=r"device: expected one that this machine can search on, got meta"
    ):
        hamming.topk(meta, meta, 1)
    with (
        hamming.use_backend("reference"),
        pytest.raises(ValueError, match=r"backend: expected one that takes meta arrays"),
    ):
        hamming.topk(meta, meta, 1)
