"""SKDCH: semi-supervised knowledge distillation for cross-modal hashing.

After the released code of Su et al. (IEEE TMM 2023): a teacher that learns from labelled and
unlabelled items as SCH-GAN does, pseudo-labels by the neighbours of its codes, and a student that
ranks by both. Two faults of that code are mended (`SkdchConfig`: authors_leak, authors_bug); all
ordered pairs of modalities are learned in one step, and triplets are drawn afresh for every batch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distill.config import SkdchConfig, TrainConfig
from distill.heads import HashHead
from distill.methods.adversarial import Adversarial, Generator
from distill.methods.base import Method, Stage, Wrap, as_it_is, codes_of
from distill.methods.ranking import Ranking
from distill.pseudo_labels import neighbours_for, pseudo_labels
from distill.types import Split


class Student(Ranking):
    """The student: `Ranking` by labels and pseudo-labels, in the end with the improved loss.

    Args:
        votes: what labels the unlabelled items; None: only labelled items are learned from.
        name, nets, config, n_bits, improved, epochs: see `Ranking`.
    """

    def __init__(
        self,
        name: str,
        nets: nn.ModuleDict,
        votes: "_Votes | None",
        config: SkdchConfig,
        n_bits: int,
        *,
        improved: bool = False,
        epochs: int | None = None,
    ) -> None:
        super().__init__(
            name,
            nets,
            config,
            n_bits,
            triplets=config.student_triplets,
            improved=improved,
            epochs=epochs,
        )
        self._votes = votes
        self.rates = dict.fromkeys(nets, config.student_rate) if name == "student" else {}

    def prepare(self, split: Split) -> None:
        """Let the teacher's neighbours vote."""
        super().prepare(split)
        if self._votes is not None:
            self.labels = self._votes.of(split)
            self.known = torch.ones_like(split.labelled)

    def rows_of(self, split: Split) -> Tensor | None:  # noqa: ARG002
        """All that have a label or a pseudo-label."""
        return self.known.nonzero().flatten()

    def kept(self) -> Mapping[str, Tensor]:
        """The labels that were learned from, where the teacher gave some."""
        return {} if self._votes is None else {"pseudo_labels": self.labels.byte()}


class _Votes:
    """The teacher's labels of all items, made once its training has ended."""

    def __init__(self, teacher: nn.ModuleDict, config: SkdchConfig) -> None:
        self._teacher, self._config = teacher, config
        self._labels: Tensor | None = None

    def of(self, split: Split) -> Tensor:
        """(n, n_labels), see `pseudo_labels`."""
        if self._labels is None:
            k = self._config.neighbours
            self._labels = pseudo_labels(
                {m: codes_of(net, split, m) for m, net in self._teacher.items()},
                {m: split.has(m) for m in self._teacher},
                split.labels,
                split.labelled,
                k or neighbours_for(split.labels[split.labelled], len(split)),
                authors_bug=self._config.authors_bug,
            )
        return self._labels


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """SKDCH's nets and stages (see `soda.build`).

    Args:
        config: bits, heads and the skdch table are used.
        dims: modality -> width of its features, and "classes" -> n_labels.
        wrap: modality and head -> what is trained.
    """
    teacher, stages = _teacher(config, dims, wrap)
    votes = _Votes(teacher, config.skdch)
    with torch.random.fork_rng(devices=[]):  # the teacher trains as it would without a student
        student, more = _student(config, dims, wrap, votes)
    return Method((*stages, *more), student, more[-1].kept, teacher)


def build_teacher(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The teacher alone, which is SCH-GAN; equal to the one that `build` makes of the same seed."""
    nets, stages = _teacher(config, dims, wrap)
    return Method(stages, nets)


def build_student(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """The student alone, from labelled items."""
    nets, stages = _student(config, dims, wrap, None)
    return Method(stages, nets)


def _nets(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap) -> nn.ModuleDict:
    head = vars(config.head)
    modalities = [m for m in dims if m not in ("label", "classes")]
    return nn.ModuleDict({m: wrap(m, HashHead(dims[m], config.bits, **head)) for m in modalities})


def _teacher(
    config: TrainConfig, dims: Mapping[str, int], wrap: Wrap
) -> tuple[nn.ModuleDict, tuple[Stage, ...]]:
    settings = config.skdch
    nets = _nets(config, dims, wrap)
    generators = nn.ModuleDict(
        {m: Generator(head, dims["classes"]) for m, head in _nets(config, dims, wrap).items()}
    )
    stages: list[Stage] = []
    if settings.pretraining:
        stages.append(
            Ranking(
                "supervised",
                nets,
                settings,
                config.bits,
                triplets=settings.triplets,
                epochs=settings.pretraining,
            )
        )
    if settings.rounds:
        stages.append(Adversarial(nets, generators, settings, config.bits))
    return nets, tuple(stages)


def _student(
    config: TrainConfig, dims: Mapping[str, int], wrap: Wrap, votes: _Votes | None
) -> tuple[nn.ModuleDict, tuple[Student, ...]]:
    settings, nets = config.skdch, _nets(config, dims, wrap)
    stages = []
    if settings.pretraining:
        stages.append(
            Student("pretraining", nets, votes, settings, config.bits, epochs=settings.pretraining)
        )
    improved = settings.loss == "improved"
    stages.append(Student("student", nets, votes, settings, config.bits, improved=improved))
    return nets, tuple(stages)
