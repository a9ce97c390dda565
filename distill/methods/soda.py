"""SODA: a teacher on image and label prompt, then a text student in its Hamming space.

After "Semantic-Cohesive Knowledge Distillation for Deep Cross-modal Hashing" (arXiv 2510.09664).
Its abstract gives the two stages and the prompts; losses and weights are a reconstruction.
"""

import copy
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distill.config import SodaConfig, TrainConfig
from distill.heads import HashHead
from distill.losses.similarity import label_similarity
from distill.losses.soda import image_terms, student_terms, teacher_terms
from distill.methods.base import Method, Stage, Wrap, as_it_is, codes_of, weights_for
from distill.parallel import gather
from distill.types import Batch, LossTerms, Split

MEANS = {"gap", "pair", "quantization", "balance", "anchor"}
"""Terms that are means over bits (see `weights_for`)."""
IMAGE_RATE = 0.1
"""Factor on the learning rate of an image head that the student updates."""


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

    def begin_epoch(self, split: Split, epoch: int) -> None:  # noqa: ARG002
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

    With `student_updates_image` the image branch is trained too, slowly (`image_terms`).
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
            terms |= image_terms(v, t, u, within, self.config)
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
