"""The rounds of SKDCH's teacher, which are SCH-GAN's: a generator proposes, the nets reject."""

import math

import torch
from torch import Tensor, nn

from distill.config import SkdchConfig
from distill.heads import HashHead
from distill.losses.triplet import (
    choice_loss,
    class_likelihood,
    code_distance,
    code_distances,
    margin_reward,
)
from distill.methods.ranking import Ranking
from distill.triplets import Triplets, draw, ordered_pairs, share_label, with_modality
from distill.types import Batch, LossTerms, Split


class Generator(nn.Module):
    """A hash head that also names classes; it proposes negatives.

    Args:
        head: features to codes.
        n_labels: number of classes.
    """

    def __init__(self, head: HashHead, n_labels: int) -> None:
        super().__init__()
        self.head = head
        self.classes = nn.Linear(head.width, n_labels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, d) to codes (B, n_bits) and class logits (B, n_labels)."""
        hidden = self.head.hidden(features)
        return self.head.from_hidden(hidden), self.classes(hidden)


class Adversarial(Ranking):
    """The teacher's rounds: a generator learns to choose, then the nets to reject, its negatives.

    Generator epochs have the terms choice (`choice_loss`, the generator's chances of what it chose
    against the nets' reward) and classes (`class_likelihood` of queries and choices; the labels of
    unlabelled choices count only with authors_leak). Discriminator epochs have those of `Ranking`,
    some of whose negatives are the generator's choices, but for those known to be similar.
    """

    def __init__(
        self, nets: nn.ModuleDict, generators: nn.ModuleDict, config: SkdchConfig, n_bits: int
    ) -> None:
        super().__init__("adversarial", nets, config, n_bits, triplets=config.triplets)
        self.generators = generators
        self.modules = nn.ModuleDict({"discriminator": nets, "generator": generators})
        self.rates = {
            "discriminator": config.discriminator_rate,
            "generator": config.generator_rate,
        }
        self.round = config.generator_epochs + config.discriminator_epochs
        self.epochs = config.rounds * self.round
        self.generates = True

    def prepare(self, split: Split) -> None:
        """See `Ranking`; hidden labels are there to be read with authors_leak alone."""
        super().prepare(split)
        self.named = torch.ones_like(self.known) if self.config.authors_leak else self.known

    def begin_epoch(self, split: Split, epoch: int) -> None:  # noqa: ARG002
        """Whose turn it is."""
        self.generates = epoch % self.round < self.config.generator_epochs
        self.weights = {"choice": 1.0, "classes": 1.0} if self.generates else self.ranking_weights

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        if not self.generates:
            return super().loss(batch)
        pairs = ordered_pairs(self.modalities)
        found = [self._generated(batch.index, a, b) for a, b in pairs]
        return self.summed([terms for terms in found if terms])

    def drawn(self, rows: Tensor, a: str, b: str) -> Triplets:
        """As in `Ranking`, the first negatives of an item being the generator's choices."""
        triplets, picks = super().drawn(rows, a, b), self.config.picks
        candidates = self._candidates(b)
        if not len(triplets.queries) or not len(candidates):
            return triplets
        queries = triplets.queries[:: self.triplets]
        with torch.no_grad():
            asked, _ = self._propose(a, queries)
            offered, _ = self._propose(b, candidates)
        chances = (-code_distances(asked, offered)).softmax(dim=1)
        chosen = candidates[draw(chances, picks)]
        negatives = triplets.negatives.view(-1, self.triplets).clone()
        labels = torch.where(self.known[:, None], self.labels, 0.0)
        similar = (labels[queries][:, None] * labels[chosen]).sum(dim=2) > 0
        negatives[:, :picks] = torch.where(similar, negatives[:, :picks], chosen)
        return Triplets(triplets.queries, triplets.positives, negatives.flatten())

    def _candidates(self, modality: str) -> Tensor:
        """Rows that the generator chooses among in a step, labelled or not."""
        everything = torch.arange(len(self.labels), device=self.labels.device)
        rows = with_modality(self.split, modality, everything)
        n = min(len(rows), max(self.config.picks, math.ceil(self.config.candidates * len(rows))))
        return rows[torch.randperm(len(rows))[:n].to(rows.device)]

    def _propose(self, modality: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        codes, logits = self.generators[modality](self.split.features[modality][rows])
        return codes, logits

    def _generated(self, rows: Tensor, a: str, b: str) -> LossTerms:
        """The generator's terms of queries of modality a and candidates of b."""
        picks, candidates = self.config.picks, self._candidates(b)
        queries, pool = with_modality(self.split, a, rows), self.pool(rows, b)
        if not len(candidates) or not len(pool):
            return {}
        similar = share_label(self.labels, queries, pool)
        queries, similar = queries[similar.any(dim=1)], similar[similar.any(dim=1)]
        if not len(queries):
            return {}
        positives = pool[draw(similar, picks)]
        asked, named = self._propose(a, queries)
        offered, offered_named = self._propose(b, candidates)
        scores = -code_distances(asked, offered)
        chosen = draw(scores.detach().softmax(dim=1), picks)
        rewards = self._rewards((a, queries), (b, positives), candidates[chosen])
        rows_of = candidates[chosen.unique()]
        logits = torch.cat([named, offered_named[chosen.unique()]])
        # Labels that are not to be read may be NaN.
        labels = torch.cat([self.labels[queries], self.labels[rows_of]])
        known = torch.cat([self.named[queries], self.named[rows_of]])
        return {
            "choice": choice_loss(scores.gather(1, chosen), rewards),
            "classes": class_likelihood(logits, labels, known),
        }

    @torch.no_grad()
    def _rewards(
        self, queries: tuple[str, Tensor], positives: tuple[str, Tensor], chosen: Tensor
    ) -> Tensor:
        """(n, picks) by the nets as they are."""
        (a, asked), (b, near) = queries, positives
        codes = self._encode(a, asked)[:, None]
        d_near, d_chosen = (
            code_distance(codes, self._encode(b, rows.flatten()).view(*rows.shape, -1))
            for rows in (near, chosen)
        )
        return margin_reward(d_near, d_chosen, margin=self.margin)
