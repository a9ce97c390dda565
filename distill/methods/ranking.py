"""What SKDCH's teacher and student share: nets that rank items across modalities by triplets."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from distill.config import SkdchConfig
from distill.losses.triplet import (
    absolute_pull,
    code_distance,
    partner_likelihood,
    symmetric_ranking,
    triplet_ranking,
)
from distill.methods.base import Stage
from distill.triplets import CodesOnce, Triplets, draw_triplets, ordered_pairs, with_modality
from distill.types import Batch, LossTerms, Split


class Ranking(Stage):
    """Nets that learn from triplets of labelled items, in every ordered pair of modalities.

    Terms, sums over the pairs: ranking (`triplet_ranking`, or `symmetric_ranking` of the improved
    loss), pull (`absolute_pull`, of the improved loss alone) and partner (`partner_likelihood`).

    Args:
        name: of the stage.
        nets: modality -> its hash head; are trained.
        config: margin, weights and sampling are used.
        n_bits: length of a code.
        triplets: of an item and direction.
        improved: which loss.
        epochs: None: those of the configuration.
    """

    split: Split
    labels: Tensor
    known: Tensor

    def __init__(
        self,
        name: str,
        nets: nn.ModuleDict,
        config: SkdchConfig,
        n_bits: int,
        *,
        triplets: int,
        improved: bool = False,
        epochs: int | None = None,
    ) -> None:
        self.name, self.nets, self.config = name, nets, config
        self.modules, self.heads, self.modalities = nets, nets, tuple(nets)
        self.margin = config.margin * n_bits
        self.triplets, self.improved, self.epochs = triplets, improved, epochs
        self.ranking_weights = {"ranking": 1.0, "partner": config.partner}
        if improved:
            self.ranking_weights["pull"] = config.pull
        self.weights = self.ranking_weights

    def prepare(self, split: Split) -> None:
        """Keep the rows, of which a batch may need others than its own."""
        self.split = split
        self.labels, self.known = split.labels, split.labelled

    def rows_of(self, split: Split) -> Tensor | None:
        """The labelled ones."""
        return split.labelled.nonzero().flatten()

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        drawn = {pair: self.drawn(batch.index, *pair) for pair in ordered_pairs(self.modalities)}
        return self.ranked(drawn)

    def drawn(self, rows: Tensor, a: str, b: str) -> Triplets:
        """Triplets of the rows that have modality a with rows that have b."""
        return draw_triplets(
            self.labels,
            with_modality(self.split, a, rows),
            self.pool(rows, b),
            self.triplets,
        )

    def pool(self, rows: Tensor, modality: str) -> Tensor:
        """Rows among which positives and random negatives are drawn."""
        if self.config.sampling == "all":
            rows = self.known.nonzero().flatten()
        return with_modality(self.split, modality, rows.unique())

    def ranked(self, drawn: Mapping[tuple[str, str], Triplets]) -> LossTerms:
        """The terms of triplets in every ordered pair of modalities."""
        needed: dict[str, list[Tensor]] = {m: [] for m in self.modalities}
        for (a, b), triplets in drawn.items():
            needed[a].append(triplets.queries)
            needed[b] += [triplets.positives, triplets.negatives]
        codes = CodesOnce(self._encode, needed, len(self.labels))
        found = [
            self._terms(
                codes(a, triplets.queries),
                codes(b, triplets.positives),
                codes(b, triplets.negatives),
                triplets.partners,
            )
            for (a, b), triplets in drawn.items()
            if len(triplets.queries)
        ]
        return self.summed(found)

    def summed(self, found: Sequence[LossTerms]) -> LossTerms:
        """Terms of several pairs added up; of none 0, which has a gradient as a loss must."""
        if not found:
            zero = torch.stack([p.sum() for p in self.modules.parameters()]).sum() * 0
            return dict.fromkeys(self.weights, zero)
        return {name: torch.stack([terms[name] for terms in found]).sum() for name in self.weights}

    def _encode(self, modality: str, rows: Tensor) -> Tensor:
        codes: Tensor = self.nets[modality](self.split.features[modality][rows])
        return codes

    def _terms(
        self, query: Tensor, positive: Tensor, negative: Tensor, partners: Tensor
    ) -> LossTerms:
        near, far = code_distance(query, positive), code_distance(query, negative)
        terms = {"partner": partner_likelihood(near, far, partners)}
        if not self.improved:
            return terms | {"ranking": triplet_ranking(near, far, margin=self.margin)}
        within = code_distance(positive, negative)
        return terms | {
            "ranking": symmetric_ranking(near, far, within, margin=self.margin),
            "pull": absolute_pull(near, offset=self.config.offset),
        }
