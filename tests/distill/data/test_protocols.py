import numpy as np
import pytest

from distill.data.protocols import PROTOCOLS, PublishedSplit, split_rule
from distill.data.splits import SplitProtocol
from distill.types import DistillError

TABLE = {
    "mirflickr-dcmh": (20_015, 2_000, 10_000, None),
    "mirflickr-torchcmh": (20_015, 2_000, 10_000, 6),
    "mirflickr-mith": (20_015, 2_000, 10_000, 1),
    "mirflickr-dchmt": (24_581, 5_000, 10_000, 1814),
    "mirflickr-dchmt-5120": (24_581, 5_120, 10_240, 1814),
    "nuswide21-classic": (195_834, 2_100, 10_500, 0),
    "nuswide21-dchmt": (195_834, 5_000, 10_000, 1814),
    "nuswide21-mith": (190_421, 2_100, 10_500, 1),
    "nuswide10-2000": (186_577, 2_000, 5_000, 0),
    "nuswide10-1percent": (186_577, 1_866, 5_000, 0),
    "coco-mith": (122_218, 5_000, 10_000, 1),
    "coco-dchmt": (122_218, 5_000, 10_000, 1814),
}
"""Name -> pairs, queries, training pairs, seed of the permutation or None for the file's order."""


def test_every_protocol_has_its_row():
    assert set(PROTOCOLS) == set(TABLE)
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


@pytest.mark.parametrize("name", TABLE)
def test_the_published_order_is_cut_into_parts(name: str):
    n, n_query, n_train, seed = TABLE[name]
    order = np.arange(n) if seed is None else np.random.RandomState(seed).permutation(n)
    splits = PROTOCOLS[name].draw(np.ones(n, bool))
    assert splits["query"].tolist() == sorted(order[:n_query])
    assert splits["database"].tolist() == sorted(order[n_query:])
    learned = np.concatenate([splits["train"], splits["validation"]])
    assert sorted(learned) == sorted(order[n_query : n_query + n_train])
    assert len(splits["validation"]) == n_train // 10
    assert splits["train"].dtype == np.int64


@pytest.mark.parametrize(
    ("name", "part", "first"),
    [
        ("mirflickr-dcmh", "query", [0, 1, 2, 3]),
        ("mirflickr-dcmh", "validation", [2000, 2004, 2016, 2018]),
        ("mirflickr-mith", "query", [4, 6, 7, 13]),
        ("mirflickr-dchmt", "query", [5, 13, 16, 20]),
    ],
)
def test_the_splits_never_change(name: str, part: str, first: list[int]):
    # Written down once: published figures rest on these rows.
    assert PROTOCOLS[name].draw(np.ones(TABLE[name][0], bool))[part][:4].tolist() == first


def test_a_seed_draws_another_split():
    n = 20_015
    own, same, other = (split_rule("mirflickr-mith", seed) for seed in (None, 1, 2))
    assert own == same == PROTOCOLS["mirflickr-mith"]
    assert (own.draw(np.ones(n, bool))["query"] != other.draw(np.ones(n, bool))["query"]).any()
    assert "RandomState(2).permutation(20015)" in other.origin


def test_in_file_order_a_seed_draws_validation_items_only():
    mask = np.ones(20_015, bool)
    one, other = (split_rule("mirflickr-dcmh", seed).draw(mask) for seed in (0, 3))
    assert one["query"].tolist() == other["query"].tolist()
    assert one["validation"].tolist() != other["validation"].tolist()


def test_origins():
    assert PROTOCOLS["mirflickr-dcmh"].origin == (
        "by protocol mirflickr-dcmh (MIRFLICKR-25K, code of DCMH): in the order of the file the "
        "first 2,000 are queries, the next 10,000 are learned from, a tenth of those to validate, "
        "drawn with seed 0"
    )
    assert "in the order of RandomState(1814).permutation(122218)" in PROTOCOLS["coco-dchmt"].origin


def test_without_a_protocol_the_split_is_drawn():
    assert split_rule(None, None) == SplitProtocol(seed=0)
    assert split_rule(None, 4) == SplitProtocol(seed=4)
    assert split_rule(None, 4).origin == "drawn with split seed 4"


@pytest.mark.parametrize(
    ("name", "seed", "message"),
    [
        ("mirflickr-dcmhh", None, r'protocol: expected one of .*, got "mir.*did you mean mirfl'),
        ("xyz", None, r'protocol: expected one of .*, got "xyz"; name one of these'),
        (
            "coco-mith",
            2**32,
            r"split_seed: expected below 2\*\*32 for a protocol, got 4294967296; c",
        ),
    ],
)
def test_wrong_settings(name: str, seed: int | None, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        split_rule(name, seed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "got"), [(np.ones(11, bool), "11 of 11"), (np.arange(10) > 0, "9 of 10")]
)
def test_another_number_of_pairs_is_refused(mask: np.ndarray, got: str):
    protocol = PublishedSplit("small", "ten", 10, 3, 5, "file", "a test")
    message = f"expected the 10 labelled pairs of ten for small, got {got}; choose another"
    with pytest.raises(DistillError, match=message):
        protocol.draw(mask)
