"""Towers that learn: copies of a model's image and text side, each under a hash head."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from distill.types import DistillError


class Tuned(nn.Module):
    """A tower and its head as one module: pixels or tokens to codes.

    Batch normalisation stays in eval mode, with the statistics of the pretrained weights: a
    training batch is small, and each of several processes sees only a part of it.

    Args:
        tower: inputs to features (B, in_dim).
        head: features to codes.
        precision: of the tower while it learns; the head, and all inference, keep float32.
    """

    def __init__(
        self,
        tower: nn.Module,
        head: nn.Module,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        self.tower = tower
        self.head = head
        self.precision = precision

    def train(self, mode: bool = True) -> "Tuned":
        """Set the mode of all but batch normalisation."""
        super().train(mode)
        for module in self.tower.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) or tokens (B, L) to codes (B, n_bits)."""
        return self.head(self._features(inputs))

    def embed(self, inputs: Tensor) -> Tensor:
        """Of a `RotatedHead`: the same to its embeddings (B, dim)."""
        return self.head.embed(self._features(inputs))

    def _features(self, inputs: Tensor) -> Tensor:
        low = self.training and self.precision == "bfloat16"
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=low):
            return self.tower(inputs).float()


class TextTower(nn.Module):
    """The text side of an open_clip model, of whatever class: tokens to features.

    Args:
        model: is copied, but for its image tower.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        visual, model.visual = model.visual, nn.Identity()
        try:
            self.model = copy.deepcopy(model).requires_grad_(True)
        finally:
            model.visual = visual

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) to features (B, d)."""
        return self.model.encode_text(tokens)


def image_tower(model: Any) -> nn.Module:
    """A copy of the image side of an open_clip model that can learn."""
    return copy.deepcopy(model.visual).requires_grad_(True)


def tuned_weights(towers: Mapping[str, Tuned], preprocessing: Mapping[str, Any]) -> bytes:
    """The open_clip model that fine-tuned towers make, as a safetensors file.

    Args:
        towers: "image" and "text", whose tower is a `TextTower`.
        preprocessing: of the encoder they come from.
    """
    image, text = towers["image"].tower, towers["text"].tower
    visual = {f"visual.{name}": value for name, value in image.state_dict().items()}
    weights = {**text.model.state_dict(), **visual}
    tensors = {name: value.cpu().contiguous().clone() for name, value in weights.items()}
    return save(tensors, {"preprocess": json.dumps(preprocessing, sort_keys=True)})


def load_tuned(model: nn.Module, file: Path) -> None:
    """Give an open_clip model the weights of a file of `tuned_weights`.

    Raises:
        DistillError: the file is damaged, or of another model.
    """
    try:
        model.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        raise _damaged(file) from error


def preprocess_of(file: Path) -> dict[str, Any]:
    """The preprocessing that a file of `tuned_weights` names.

    Raises:
        DistillError: the file is damaged.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            found: dict[str, Any] = json.loads(opened.metadata()["preprocess"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(file) from error
    return found


def _damaged(file: Path) -> DistillError:
    return DistillError(
        f"encoder: expected the fine-tuned towers of a run in {file}, got a damaged file; write it "
        "anew with the run's own settings and --resume"
    )
