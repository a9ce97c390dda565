import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill import clusters
from distill.clusters import cluster_codes, compare_numbers, mask_of, read_clusters
from distill.types import DistillError


def drawn(n: int = 60, n_bits: int = 16, n_groups: int = 3) -> tuple[Tensor, Tensor]:
    """Codes in groups: the first half of the bits fixed by the group, the others coin flips."""
    generator = torch.Generator().manual_seed(1)
    group = torch.arange(n) % n_groups
    fixed = torch.eye(n_groups).repeat(1, n_bits)[:, : n_bits // 2] * 2 - 1
    coins = torch.randint(2, (n, n_bits - n_bits // 2), generator=generator) * 2.0 - 1
    return torch.cat([fixed[group], coins], dim=1), group


def test_groups_are_found_and_their_means_are_the_centers() -> None:
    codes, group = drawn()
    found = cluster_codes(codes, 3, margin=0.6, seed=0)
    for k in range(3):
        members = group[found.labels == k]
        assert len(members) == 20
        assert len(members.unique()) == 1
        assert torch.allclose(found.centers[k], codes[found.labels == k].mean(dim=0))
    assert found.mask[:, :8].all()
    assert not found.mask[:, 8:].any()
    assert torch.equal(mask_of(found, "on"), found.mask)
    assert mask_of(found, "off").all()
    assert not mask_of(found, "zero").any()
    assert torch.equal(mask_of(found, "soft"), found.centers.abs())


def test_a_second_call_reads_what_the_first_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, _ = drawn()
    one = cluster_codes(codes, 3, margin=0.5, seed=0, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(clusters, "_k_means", None)
        again = cluster_codes(codes, 3, margin=0.5, seed=0, cache=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    for changes in ({"margin": 0.4}, {"seed": 1}):
        cluster_codes(codes, 3, **{"margin": 0.5, "seed": 0, "cache": tmp_path, **changes})
    cluster_codes(-codes, 3, margin=0.5, seed=0, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    file.write_bytes(file.read_bytes()[:50])
    assert read_clusters(file) is None
    mended = cluster_codes(codes, 3, margin=0.5, seed=0, cache=tmp_path)
    assert torch.equal(mended.labels, one.labels)


def test_an_empty_row_of_the_mask_is_warned_of_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codes, _ = drawn()
    coins = codes[:, 8:]
    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            cluster_codes(coins, 2, margin=0.95, seed=0, cache=tmp_path)
        assert "no bit of cluster" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    ("n_clusters", "message"),
    [
        (61, "clusters: expected at most the 60 training images, got 61; lower"),
        (4, "clusters: expected at most the 3 different codes that the teacher gives"),
    ],
)
def test_too_many_clusters(n_clusters: int, message: str) -> None:
    codes, _ = drawn()
    with pytest.raises(DistillError, match=message):
        cluster_codes(codes[:, :8], n_clusters, margin=0.5, seed=0)


def test_the_silhouette_peaks_at_the_number_of_groups() -> None:
    codes, _ = drawn()
    found = compare_numbers(codes, range(2, 8), seed=0)
    assert max(found, key=lambda quality: quality.silhouette).n_clusters == 3
    inertia = [quality.inertia for quality in found]
    assert inertia == sorted(inertia, reverse=True)
    assert [q.n_clusters for q in compare_numbers(codes[:, :8], range(2, 8), seed=0)] == [2]
