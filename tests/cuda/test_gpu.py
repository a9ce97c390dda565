"""What only a GPU shows: devices, streams, graphs, and that nothing comes to the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hamming
from hamming.backends.cuda import CUDA, CudaBackend
from hamming.backends.cuda_plan import Tuning
from tests.hamming import oracle

pytestmark = [
    pytest.mark.gpu,
    # torch says so of the mode that lets no synchronisation pass.
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
    pytest.mark.skipif(CUDA.missing is not None, reason=CUDA.missing or ""),
]

N_CODES = 200_000
NEVER = 2**31
VARIANTS = {
    "popc": Tuning(mma_queries=NEVER, wgmma_queries=NEVER),
    "mma": Tuning(mma_queries=1, wgmma_queries=NEVER),
    "wgmma": Tuning(mma_queries=1, wgmma_queries=1, wgmma_words=1, wgmma_most=NEVER),
}


def problem(n_bytes: int, n_queries: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_bytes)
    db = rng.integers(0, 256, (N_CODES, n_bytes), np.uint8)
    return rng.integers(0, 256, (n_queries, n_bytes), np.uint8), db


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n_bytes", [8, 13, 16, 32, 64, 96, 128])
@pytest.mark.parametrize("offset", [0, 1])
def test_every_variant(variant: str, n_bytes: int, offset: int) -> None:
    queries, db = problem(n_bytes)
    room = torch.empty(db.size + 1, dtype=torch.uint8, device="cuda")
    there = room[offset : offset + db.size].view(db.shape)
    there.copy_(torch.from_numpy(db))
    with hamming.use_backend(CudaBackend(tuning=VARIANTS[variant])):
        for k in (1, 100, 3000):
            found = hamming.topk(torch.from_numpy(queries).cuda(), there, k)
            distances, indices = oracle.topk(queries, db, k)
            np.testing.assert_array_equal(found.distances.cpu(), distances)
            np.testing.assert_array_equal(found.indices.cpu(), indices)


def test_torch_in_torch_out_and_cupy_in_cupy_out() -> None:
    import cupy

    queries, db = (torch.from_numpy(x).cuda() for x in problem(8))
    found = hamming.topk(queries, db, 3)
    assert all(x.is_cuda and x.device == db.device for x in found)
    same = hamming.topk(cupy.asarray(queries), cupy.asarray(db), 3)
    assert all(isinstance(x, cupy.ndarray) for x in same)
    np.testing.assert_array_equal(found.indices.cpu(), cupy.asnumpy(same.indices))
    single = hamming.topk(queries[0], db, 3)
    assert torch.equal(single.indices, found.indices[0])
    with pytest.raises(ValueError, match=r"^db_codes: expected device cuda:0 like query_codes"):
        hamming.topk(queries, db.cpu(), 3)


def test_a_search_never_waits_for_the_device() -> None:
    queries, db = (torch.from_numpy(x).cuda() for x in problem(8))
    values = torch.randn(40, 64, device="cuda")
    mask = torch.ones(N_CODES, dtype=torch.bool, device="cuda")

    def chain() -> hamming.Rescored:
        near = hamming.topk(hamming.pack(values), db, 50, mask=mask)
        return hamming.rescore(values, db, near.indices, 5)

    expected = chain()  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = chain()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(found.indices, expected.indices)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # refuses any copy to the host
        captured = chain()
    graph.replay()
    assert torch.equal(captured.indices, expected.indices)
    assert torch.equal(captured.scores, expected.scores)
    assert hamming.topk(queries, db, 1).indices.is_cuda


def test_a_captured_chain_follows_its_input() -> None:
    from distill.retriever import CodeSearch

    encode = torch.nn.Linear(16, 64).cuda()
    database = hamming.pack(torch.randn(N_CODES, 64, device="cuda"))
    search = CodeSearch(encode, database, 5, candidates=50)
    batches = torch.randn(3, 8, 16, device="cuda")
    captured = search.captured(batches[0])
    for batch in batches:
        for a, b in zip(captured(batch), search(batch), strict=True):
            assert torch.equal(a, b)


def test_streams_do_not_disturb_each_other() -> None:
    (one, db), (two, _) = problem(8), problem(8, 7)
    db_there = torch.from_numpy(db).cuda()
    streams = [torch.cuda.Stream() for _ in range(2)]
    torch.cuda.synchronize()
    found = []
    for _ in range(5):
        for queries, stream in zip((one, two), streams, strict=True):
            with torch.cuda.stream(stream):
                there = torch.from_numpy(queries).cuda()
                found.append((queries, hamming.topk(there, db_there, 10)))
    torch.cuda.synchronize()
    for queries, result in found:
        np.testing.assert_array_equal(result.indices.cpu(), oracle.topk(queries, db, 10)[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_packing_torch_dtypes(dtype: torch.dtype) -> None:
    x = torch.randn(50, 100, device="cuda").to(dtype).requires_grad_()
    expected = np.packbits((x.detach().double() > 0.25).cpu().numpy(), axis=1)
    assert hamming.pack(x, threshold=0.25).cpu().numpy().tolist() == expected.tolist()
    limits = torch.full((100,), 0.25, device="cuda")
    assert torch.equal(hamming.pack(x, threshold=limits), hamming.pack(x, threshold=0.25))


def test_k_beyond_what_the_device_selects() -> None:
    db = torch.zeros((2**20 + 1, 1), dtype=torch.uint8, device="cuda")
    with pytest.raises(ValueError, match=r"^k: expected at most 1048576 on cuda:0, got 1048577"):
        hamming.topk(db[:1], db, 2**20 + 1)
    found = hamming.topk(db[:1], db, 2**20)
    assert torch.equal(found.indices[0], torch.arange(2**20, device="cuda"))


def test_an_index_of_torch_tensors() -> None:
    """Added in parts, removed from, searched without waiting, and the same as on the host."""
    queries, db = problem(8)
    host = hamming.Index.from_codes(db[:150_000])
    host.add(db[150_000:])
    index = host.to("cuda")
    index.add(torch.from_numpy(db[:5]).cuda(), ids=[10**6 + i for i in range(5)])
    host.add(db[:5], ids=[10**6 + i for i in range(5)])
    for changed in (host, index):
        changed.remove(np.arange(0, 200_000, 3))
    there, values = torch.from_numpy(queries).cuda(), torch.randn(40, 64, device="cuda")

    def search() -> tuple[hamming.TopK, hamming.Rescored]:
        near = index.topk(there, 50)
        return near, index.rescore(values, near.indices, 5)

    search()  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        near, best = search()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = host.topk(queries, 50)
    for got, wanted in zip(near, expected, strict=True):
        assert got.is_cuda
        np.testing.assert_array_equal(got.cpu(), wanted)
    scores = host.rescore(values.cpu(), torch.from_numpy(expected.indices), 5).scores
    torch.testing.assert_close(best.scores.cpu(), scores)
    hits = index.radius_search(there, 20, filter=np.arange(100_000))
    for got, wanted in zip(
        hits, host.radius_search(queries, 20, filter=np.arange(100_000)), strict=True
    ):
        np.testing.assert_array_equal(got.cpu(), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stages_of_a_search(dtype: torch.dtype) -> None:
    """Codes, re-scoring and stored rows, all there: the answers of the host."""
    values, queries = (torch.randn(n, 256).to(dtype) for n in (20_000, 40))
    host = hamming.Index.from_codes(hamming.pack(values).numpy())
    answers = []
    for index, move in ((host, "cpu"), (host.to("cuda"), "cuda")):
        search = hamming.TwoStageSearch(index, values.to(move))
        found = search(queries.to(move), 10)
        assert all(part.device.type == move for part in found)
        answers.append([part.cpu() for part in found])
    np.testing.assert_array_equal(answers[0][1], answers[1][1])
    np.testing.assert_allclose(answers[0][0], answers[1][0], rtol=1e-5)
