"""Splits that papers share, as data: `--protocol NAME` takes one in the place of a drawn split.

The queries come first in an order of all pairs, the training pairs next, and everything after the
queries is the database. Where the order is random, it is that of NumPy's legacy generator, whose
stream never changes. A tenth of the training pairs is held out to validate, never a query.

An order counts rows. Released code that numbers the same pairs in another way has other queries:
only with the files of that code (data dcmh, mat) are they the same pairs.
"""

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from distill.data.splits import SplitProtocol, Splits, parts
from distill.types import DistillError


@dataclass(frozen=True)
class PublishedSplit:
    """How papers divide a dataset.

    Attributes:
        name: of the protocol.
        dataset: the dataset, for people.
        n_pairs: pairs with at least one label.
        n_query: queries, the first in order.
        n_train: pairs that are learned from, the next in order.
        order: "permutation", that of `numpy.random.RandomState(seed)`, or "file", as they come.
        source: where the sizes are from.
        seed: of the permutation and of the pairs that validate; 0 where none is published.
    """

    name: str
    dataset: str
    n_pairs: int
    n_query: int
    n_train: int
    order: Literal["permutation", "file"]
    source: str
    seed: int = 0

    def draw(self, labelled: np.ndarray) -> Splits:
        """Divide pairs.

        Args:
            labelled: (n) bool, the pairs with at least one label.

        Raises:
            DistillError: the protocol is for another number of pairs, or pairs without label.
        """
        n = int(labelled.sum())
        if not n == len(labelled) == self.n_pairs:
            raise DistillError(
                f"protocol: expected the {self.n_pairs:,} labelled pairs of {self.dataset} for "
                f"{self.name}, got {n:,} of {len(labelled):,}; choose another protocol, or none"
            )
        rows = np.arange(n)
        if self.order == "permutation":
            rows = np.random.RandomState(self.seed).permutation(n)
        query, train = rows[: self.n_query], rows[self.n_query : self.n_query + self.n_train]
        train, validation = SplitProtocol(seed=self.seed).hold_out(train)
        return parts(n, query, validation, train)

    @property
    def origin(self) -> str:
        """Where a split comes from, in words."""
        order = "the file"
        if self.order == "permutation":
            order = f"RandomState({self.seed}).permutation({self.n_pairs})"
        return (
            f"by protocol {self.name} ({self.dataset}, {self.source}): in the order of {order} the "
            f"first {self.n_query:,} are queries, the next {self.n_train:,} are learned from, a "
            f"tenth of those to validate, drawn with seed {self.seed}"
        )


SplitRule = SplitProtocol | PublishedSplit

_MIRFLICKR = ("MIRFLICKR-25K", 20_015)
_MIRFLICKR_ALL = ("MIRFLICKR-25K", 24_581)
_NUSWIDE_21 = ("NUS-WIDE-21", 195_834)
_NUSWIDE_10 = ("NUS-WIDE-10", 186_577)
_COCO = ("MS-COCO", 122_218)
_FAMILY = "code of the DCHMT family"
_CLASSIC = "sizes used since DCMH, no seed published"
_UNSUPERVISED = "sizes used by unsupervised methods, no seed published"

_PUBLISHED = (
    PublishedSplit("mirflickr-dcmh", *_MIRFLICKR, 2_000, 10_000, "file", "code of DCMH"),
    PublishedSplit(
        "mirflickr-torchcmh", *_MIRFLICKR, 2_000, 10_000, "permutation", "code of torchcmh", 6
    ),
    PublishedSplit("mirflickr-mith", *_MIRFLICKR, 2_000, 10_000, "permutation", "code of MITH", 1),
    PublishedSplit("mirflickr-dchmt", *_MIRFLICKR_ALL, 5_000, 10_000, "permutation", _FAMILY, 1814),
    PublishedSplit(
        "mirflickr-dchmt-5120", *_MIRFLICKR_ALL, 5_120, 10_240, "permutation", "code of DCHMT", 1814
    ),
    PublishedSplit("nuswide21-classic", *_NUSWIDE_21, 2_100, 10_500, "permutation", _CLASSIC),
    PublishedSplit("nuswide21-dchmt", *_NUSWIDE_21, 5_000, 10_000, "permutation", _FAMILY, 1814),
    PublishedSplit(
        "nuswide21-mith", "NUS-WIDE-21", 190_421, 2_100, 10_500, "permutation", "code of MITH", 1
    ),
    PublishedSplit("nuswide10-2000", *_NUSWIDE_10, 2_000, 5_000, "permutation", _UNSUPERVISED),
    PublishedSplit("nuswide10-1percent", *_NUSWIDE_10, 1_866, 5_000, "permutation", _UNSUPERVISED),
    PublishedSplit("coco-mith", *_COCO, 5_000, 10_000, "permutation", "code of MITH", 1),
    PublishedSplit("coco-dchmt", *_COCO, 5_000, 10_000, "permutation", _FAMILY, 1814),
)
PROTOCOLS = {protocol.name: protocol for protocol in _PUBLISHED}
"""By name."""


def split_rule(protocol: str | None, seed: int | None) -> SplitRule:
    """What divides a dataset that has no split of its own.

    Args:
        protocol: a name of `PROTOCOLS`; None draws as `SplitProtocol` does.
        seed: None is the protocol's own, or 0.

    Raises:
        DistillError: no such protocol, or a seed that its generator does not take.
    """
    if protocol is None:
        return SplitProtocol(seed=seed or 0)
    if protocol not in PROTOCOLS:
        near = difflib.get_close_matches(protocol, PROTOCOLS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "name one of these"
        raise DistillError(
            f'protocol: expected one of {", ".join(PROTOCOLS)}, got "{protocol}"; {hint}'
        )
    published = PROTOCOLS[protocol]
    if seed is not None and seed >= 2**32:
        raise DistillError(
            f"split_seed: expected below 2**32 for a protocol, got {seed}; choose a smaller one"
        )
    return published if seed is None else dataclasses.replace(published, seed=seed)
