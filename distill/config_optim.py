"""Settings of the optimiser and of the training loop."""

import math
from dataclasses import dataclass
from typing import Literal

from distill.tables import require, require_weights


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, the same for every stage."""

    epochs: int = 40
    """Passes over the training rows per stage."""
    epoch_items: int = 0
    """Items of an epoch, whose rows come again and again; 0: every row once. With it methods that
    learn from fewer items take as many steps as the others."""
    batch_size: int = 128
    """Items per step and process: two processes of torchrun learn from twice as many at once."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """How weights decay: adam and sgd have an L2 penalty in the gradient, adamw shrinks them beside
    it."""
    lr: float = 1e-3
    """Learning rate at the start of a stage."""
    tower_lr: float = 1e-5
    """The same of the towers where they are fine-tuned."""
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    """cosine: the learning rate decays to zero over the epochs; step: by a factor, now and then."""
    decay: float = 0.96
    """Of the schedule in steps: the factor."""
    decay_steps: int = 20_000
    """Of the same: steps between two decays."""
    warmup: float = 0.0
    """Share of the steps over which the learning rate first grows linearly."""
    weight_decay: float = 1e-4
    """Weight of the decay, as the optimiser applies it."""
    beta2: float = 0.999
    """Decay per step of the mean squared gradient."""
    eps: float = 1e-8
    """What is added to its root."""
    clip: float = 0.0
    """Largest norm of the gradient of a step; 0: any."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the towers' arithmetic while they are fine-tuned; heads and losses keep float32."""
    validate_every: int = 5
    """Validation MAP after every so many epochs; 0 is never."""
    patience: int = 0
    """End a stage after more than so many validations in a row without a better mean MAP, and keep
    its best weights; 0: never, and keep the last."""
    checkpoint_every: int = 5
    """A checkpoint after every so many epochs, and at the end of a stage."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.epoch_items >= 0, "epoch_items", "at least 0", self.epoch_items)
        require(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        require(0 < self.lr < math.inf, "lr", "a positive finite number", self.lr)
        require(0 < self.tower_lr < math.inf, "tower_lr", "a positive finite number", self.tower_lr)
        require(0 < self.decay <= 1, "decay", "a factor in (0, 1]", self.decay)
        require(self.decay_steps >= 1, "decay_steps", "at least 1", self.decay_steps)
        require(0 <= self.warmup < 1, "warmup", "a share in [0, 1)", self.warmup)
        require(0 <= self.beta2 < 1, "beta2", "a number in [0, 1)", self.beta2)
        require_weights(weight_decay=self.weight_decay, eps=self.eps, clip=self.clip)
        require(self.validate_every >= 0, "validate_every", "at least 0", self.validate_every)
        require(self.patience >= 0, "patience", "at least 0", self.patience)
        require(
            self.validate_every > 0 or self.patience == 0,
            "patience",
            "0 where validate_every is 0 (give --patience 0 too)",
            self.patience,
        )
        require(self.checkpoint_every >= 1, "checkpoint_every", "at least 1", self.checkpoint_every)
