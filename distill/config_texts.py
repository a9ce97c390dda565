"""Settings of the methods that join images and texts."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from distill.tables import require, require_weights


@dataclass(frozen=True)
class TeacherWeights:
    """Weights of SODA's stage 1, image with label prompt (methods/soda.py names the terms).

    gap, quantization and balance are means over bits; theirs are multiplied by bits / 64.
    """

    inter: float = 1.0
    """Likelihood of the similarity of image and label prompt codes."""
    intra: float = 1.0
    """The same within the images and within the label prompts."""
    contrast: float = 4.0
    """Similar items told from the others, by a softmax over cosines; ours, not of the abstract."""
    gap: float = 1.0
    """Squared distance between an item's image and label prompt code."""
    quantization: float = 6.0
    """Squared distance of both codes of an item to the sign of their sum."""
    balance: float = 0.0
    """Squared mean of each bit over the batch."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


@dataclass(frozen=True)
class StudentWeights:
    """Weights of SODA's stage 2, text against the frozen image codes.

    pair, quantization and anchor are means over bits; theirs are multiplied by bits / 64.
    """

    sim: float = 1.0
    """Likelihood of the similarity of text codes and frozen image codes."""
    contrast: float = 4.0
    """Image codes of similar items told from the others'; ours, not of the abstract."""
    pair: float = 1.0
    """Squared distance between a text code and its item's image code."""
    relation: float = 0.0
    """Squared difference between the texts' similarities and the images'."""
    intra: float = 1.0
    """Likelihood of the similarity within the texts."""
    quantization: float = 6.0
    """Squared distance of a text code to the sign of its item's image code."""
    image: float = 1.0
    """Of student_updates_image: likelihood of the similarity of image and text codes."""
    anchor: float = 1.0
    """Of student_updates_image: squared distance of an image code to the teacher's."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


@dataclass(frozen=True)
class SodaConfig:
    """SODA: a teacher on image and label prompt, then a text student."""

    prompt: Literal["sentence", "set", "bare", "multihot"] = "sentence"
    """How an item's labels become the second modality: a sentence of their names, the mean of a
    sentence each, the bare names, or their 0/1 vector, without words."""
    template: str = "a photo of {}"
    """The prompt around the label names of sentence and set."""
    normalize: bool = False
    """Compare directions only: theta = n_bits / 2 * cosine instead of half the inner product."""
    similarity: Literal["binary", "multilevel"] = "binary"
    """binary: shares a label; multilevel: cosine of the label vectors."""
    temperature: float = 0.2
    """Of the contrast."""
    memory: bool = False
    """The teacher compares a batch with the latest codes of all training items, not with itself."""
    student_updates_image: bool = False
    """Stage 2 trains the image head too, at a tenth of the rate and anchored to the teacher's."""
    joint: bool = False
    """One stage that trains image, label and text heads together, in place of two."""
    teacher: TeacherWeights = TeacherWeights()
    student: StudentWeights = StudentWeights()

    def __post_init__(self) -> None:
        around = self.template.split("{}")
        require(
            len(around) == 2 and not any(brace in "".join(around) for brace in "{}"),
            "template",
            "a text with {} in it, once and without other braces",
            self.template,
        )
        _require_temperature(self.temperature)
        for name in ("memory", "student_updates_image"):
            set_ = getattr(self, name)
            require(not (self.joint and set_), name, "false where joint is true", set_)


@dataclass(frozen=True)
class NoTeacherConfig:
    """The ablation without a teacher: image and text trained directly, weights of its terms.

    pair and quantization are means over bits; theirs are multiplied by bits / 64.
    """

    inter: float = 1.0
    """Likelihood of the similarity of image and text codes."""
    pair: float = 1.0
    """Squared distance between the codes of an item's image and text."""
    contrast: float = 4.0
    """Similar items told from the others, by a softmax over cosines."""
    quantization: float = 2.0
    """Squared distance of both codes of an item to the sign of their sum."""
    temperature: float = 0.2
    """Of the contrast; no weight."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))
        _require_temperature(self.temperature)


@dataclass(frozen=True)
class ContrastiveConfig:
    """The label-free baseline: InfoNCE on pairs, then the sign of a random rotation."""

    dim: int = 256
    """Width of the float embedding."""
    temperature: float = 0.5
    """InfoNCE temperature."""

    def __post_init__(self) -> None:
        require(self.dim >= 1, "dim", "at least 1", self.dim)
        _require_temperature(self.temperature)


def _require_temperature(value: float) -> None:
    require(0 < value < math.inf, "temperature", "a positive finite number", value)
