"""All contenders give the oracle's answer; only then do their times mean anything."""

from __future__ import annotations

import numpy as np
import pytest

from bench import rivals
from bench.rivals import OURS, RIVALS, Rival
from tests.hamming import oracle


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "_BLOCK", 64)  # many blocks on a tiny problem
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # and back to what it was


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n_bits", [8, 32, 72, 248, 256, 1024])
@pytest.mark.parametrize("contender", [OURS, *RIVALS], ids=lambda contender: contender.name)
def test_equals_the_oracle(contender: Rival, n_bits: int, threads: int) -> None:
    if contender.missing:
        pytest.skip(contender.missing)
    rng = np.random.default_rng(n_bits)
    db = rng.integers(0, 256, (300, n_bits // 8), np.uint8)
    db[100:200] = db[:100]  # ties
    db[250:] = ~db[:50]  # and distances up to n_bits
    queries = np.concatenate([db[:2], rng.integers(0, 256, (3, n_bits // 8), np.uint8)])
    search = contender.prepare(db, threads)
    for k in (1, 10, 299, 300):
        distances, indices = search(queries, k)
        expected = oracle.topk(queries, db, k)
        np.testing.assert_array_equal(distances, expected[0])
        if contender in (OURS, rivals.NUMPY):  # the others promise no order of equal distances
            np.testing.assert_array_equal(indices, expected[1])


def test_each_has_a_version_and_a_name_of_its_own() -> None:
    contenders = [OURS, *RIVALS]
    assert len({contender.name for contender in contenders}) == len(contenders)
    assert all(contender.version for contender in contenders if not contender.missing)


def test_a_rival_that_is_not_installed_says_so() -> None:
    absent = Rival("absent", "no_such_module", "no-such-package", rivals.NUMPY.prepare, "")
    assert absent.missing == "not installed"
    assert absent.version is None
