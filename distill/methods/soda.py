"""SODA: a teacher on image and label prompt, then a text student in its Hamming space.

After "Semantic-Cohesive Knowledge Distillation for Deep Cross-modal Hashing" (arXiv 2510.09664).
Its abstract gives the two stages and the prompts; losses and weights are a reconstruction.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from distill.config import SodaConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.contrastive import supervised_contrast
from distill.losses.distillation import pair_distillation, relation_distillation
from distill.losses.quantization import balance, quantization, shared_quantization, sign
from distill.losses.similarity import label_similarity, pairwise_nll
from distill.methods.base import Method, Stage, Wrap, as_it_is, codes_of, weights_for
from distill.parallel import gather
from distill.types import Batch, LossTerms, Split

MEANS = {"gap", "pair", "quantization", "balance", "anchor"}
"""Terms that are means over bits (see `weights_for`)."""
IMAGE_RATE = 0.1
"""Factor on the learning rate of an image head that the student updates."""


Comparison = Callable[[Tensor, Tensor, Tensor], Tensor]


def teacher_terms(
    v: Tensor, p: Tensor, others: tuple[Tensor, Tensor], similarity: Tensor, config: SodaConfig
) -> LossTerms:
    """Stage 1: image and label prompt make the Hamming space of the images.

    inter = 1/2 [ NLL(V, P') + NLL(P, V') ], intra = 1/2 [ NLL(V, V') + NLL(P, P') ], where V' and
    P' are the codes of the batch itself or of a memory; contrast = 1/3 [ C(V, P') + C(P, V') +
    C(V, V') ], C telling similar items from the others; gap = ||V - P||^2 / (n n_bits);
    quantization towards sign(V + P); balance.

    Args:
        v: (n, n_bits) codes V of the images.
        p: (n, n_bits) codes P of the label prompts.
        others: V' and P', (m, n_bits).
        similarity: (n, m) in [0, 1].
        config: normalize and temperature are used.
    """
    v_all, p_all = others
    nll, contrast = _comparisons(config)
    across = ((v, p_all), (p, v_all))
    return {
        "inter": sum(nll(*pair, similarity) for pair in across) / 2,
        "intra": (nll(v, v_all, similarity) + nll(p, p_all, similarity)) / 2,
        "contrast": sum(contrast(*pair, similarity) for pair in (*across, (v, v_all))) / 3,
        "gap": pair_distillation(v, p),
        "quantization": shared_quantization(v, p),
        "balance": (balance(v) + balance(p)) / 2,
    }


def student_terms(
    t: Tensor,
    u: Tensor,
    bank: Tensor,
    similarity: tuple[Tensor, Tensor],
    config: SodaConfig,
) -> LossTerms:
    """Stage 2: text learns to live in the Hamming space of the images.

    sim = NLL(T, U of all), contrast = C(T, U of all), pair = ||T - U||^2 / (n n_bits), relation =
    cosines to U like those within U, intra = NLL(T, T), quantization towards sign(U).

    Args:
        t: (n, n_bits) codes T of the texts.
        u: (n, n_bits) the teacher's codes U of the same items.
        bank: (m, n_bits) the teacher's codes of all items.
        similarity: (n, m) to all items, and (n, n) within the batch.
        config: normalize and temperature are used.
    """
    nll, contrast = _comparisons(config)
    return {
        "sim": nll(t, bank, similarity[0]),
        "contrast": contrast(t, bank, similarity[0]),
        "pair": pair_distillation(t, u),
        "relation": relation_distillation(t, u),
        "intra": nll(t, t, similarity[1]),
        "quantization": quantization(t, sign(u)),
    }


def _comparisons(config: SodaConfig) -> tuple[Comparison, Comparison]:
    """The pairwise likelihood NLL and the contrast C of codes a, codes b and their similarity."""
    return (
        functools.partial(pairwise_nll, normalize=config.normalize),
        functools.partial(supervised_contrast, temperature=config.temperature),
    )


class Teacher(Stage):
    """Stage 1, see `teacher_terms`.

    With a memory the likelihoods compare the batch with the latest codes of all training items: at
    the start of an epoch those of the heads as they are, then renewed batch by batch.
    """

    name = "teacher"
    modalities = ("image",)
    memory: dict[str, Tensor]
    labels: Tensor

    def __init__(self, image: nn.Module, label: nn.Module, config: SodaConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict({"image": image, "label": label})
        self.weights = weights_for(dataclasses.asdict(config.teacher), n_bits, means=MEANS)
        self.config = config

    def begin_epoch(self, split: Split) -> None:
        """Encode the memory anew, so that a resumed training needs no file of it."""
        if self.config.memory:
            self.memory = {m: codes_of(self.modules[m], split, m) for m in ("image", "label")}
            self.labels = split.labels

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v, p = (gather(self.modules[m](batch.features[m])) for m in ("image", "label"))
        others, labels = (v, p), batch.labels
        if self.config.memory:
            for name, codes in (("image", v), ("label", p)):
                self.memory[name][batch.index] = codes.detach()
            others, labels = (self.memory["image"], self.memory["label"]), self.labels
        s = label_similarity(batch.labels, labels, kind=self.config.similarity)
        return teacher_terms(v, p, others, s, self.config)


class Student(Stage):
    """Stage 2, see `student_terms`; U comes from the frozen image branch.

    With `student_updates_image` the image branch V is trained too, slowly: image = NLL(V, T), and
    anchor = ||V - U||^2 holds it where the teacher left it.
    """

    name = "student"
    modalities = ("image", "text")
    bank: Tensor
    labels: Tensor

    def __init__(self, image: nn.Module, text: nn.Module, config: SodaConfig, n_bits: int) -> None:
        weights = dataclasses.asdict(config.student)
        modules = {"text": text}
        self._teacher = image
        if config.student_updates_image:
            self._teacher = _Kept(image)
            modules |= {"image": image, "teacher": self._teacher}
            self.rates = {"image": IMAGE_RATE}
        else:
            del weights["image"], weights["anchor"]
        self.modules = nn.ModuleDict(modules)
        self.weights = weights_for(weights, n_bits, means=MEANS)
        self.config = config

    def prepare(self, split: Split) -> None:
        """Keep the teacher's codes of the training images."""
        if isinstance(self._teacher, _Kept):
            self._teacher.keep(self.modules["image"])
        self.bank = codes_of(self._teacher, split, "image")
        self.labels = split.labels

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        t = gather(self.modules["text"](batch.features["text"]))
        u = self.bank[batch.index]
        to_all = label_similarity(batch.labels, self.labels, kind=self.config.similarity)
        within = to_all[:, batch.index]
        terms = student_terms(t, u, self.bank, (to_all, within), self.config)
        if self.config.student_updates_image:
            v = gather(self.modules["image"](batch.features["image"]))
            nll, _ = _comparisons(self.config)
            terms["image"] = nll(v, t, within)
            terms["anchor"] = pair_distillation(v, u)
        return terms


class Joint(Stage):
    """The ablation without stages: image, label prompt and text are trained together.

    The terms of both stages, the student's towards the images' codes of the same batch.
    """

    name = "joint"
    modalities = ("image", "text")

    def __init__(self, modules: Mapping[str, nn.Module], config: SodaConfig, n_bits: int) -> None:
        self.modules = nn.ModuleDict(modules)
        student = dataclasses.asdict(config.student)
        del student["image"], student["anchor"]
        parts = {"teacher": dataclasses.asdict(config.teacher), "student": student}
        self.weights = {
            f"{part}_{name}": weight
            for part, weights in parts.items()
            for name, weight in weights_for(weights, n_bits, means=MEANS).items()
        }
        self.config = config

    def loss(self, batch: Batch) -> LossTerms:
        """See the class."""
        v, p, t = (gather(self.modules[m](batch.features[m])) for m in ("image", "label", "text"))
        s = label_similarity(batch.labels, batch.labels, kind=self.config.similarity)
        teacher = teacher_terms(v, p, (v, p), s, self.config)
        student = student_terms(t, v, v, (s, s), self.config)
        terms = {f"teacher_{name}": term for name, term in teacher.items()}
        return terms | {f"student_{name}": term for name, term in student.items()}


class _Kept(nn.Module):
    """A frozen copy of a module, taken once: when training resumes, it is in the checkpoint."""

    taken: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.register_buffer("taken", torch.zeros((), dtype=torch.bool))

    def keep(self, module: nn.Module) -> None:
        """Take the module as it is, unless one was taken already."""
        if not self.taken:
            self.module.load_state_dict(module.state_dict())
            self.taken.fill_(True)

    def forward(self, features: Tensor) -> Tensor:
        """What the module made of features when it was taken."""
        return self.module(features)


def build(config: TrainConfig, dims: Mapping[str, int], wrap: Wrap = as_it_is) -> Method:
    """SODA's heads and stages.

    Args:
        config: bits, heads and the soda table are used.
        dims: modality -> width of its features; "image", "text" and "label".
        wrap: modality and head -> what is trained (see `Wrap`).
    """
    head = dataclasses.asdict(config.head)
    heads = {m: HashHead(dims[m], config.bits, **head) for m in ("image", "label", "text")}
    parts = {m: wrap(m, module) for m, module in heads.items()}
    stages: tuple[Stage, ...]
    if config.soda.joint:
        stages = (Joint(parts, config.soda, config.bits),)
    else:
        stages = (
            Teacher(parts["image"], parts["label"], config.soda, config.bits),
            Student(parts["image"], parts["text"], config.soda, config.bits),
        )
    return Method(stages, nn.ModuleDict({"image": heads["image"], "text": heads["text"]}))
