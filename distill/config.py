"""Every setting of a training run: small frozen dataclasses, TOML in, TOML out.

A named experiment is a file in `distill/configs`; flags of `python -m distill.train` override it.
"""

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

PRESETS = Path(__file__).parent / "configs"


class ConfigError(ValueError):
    """A setting that does not exist or cannot have this value."""


@dataclass(frozen=True)
class DataConfig:
    """Which items are read, and how."""

    name: Annotated[str, arg(name="data")] = "openclipart"
    """Dataset: openclipart, emoji, manifest or imagefolder."""
    root: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder of the full set or of the images; without it the embedded data."""
    path: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSONL manifest, for --data manifest."""
    text: Literal["full", "scrubbed"] = "full"
    """scrubbed: words that are among the item's labels are taken out of its text."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What to do with an image that cannot be read."""
    split_seed: int = 0
    """Seed of the split where the dataset has no fixed one."""


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen pretrained towers."""

    teacher: str = "EfficientNet-Lite0-MiniLM"
    """An open_clip model name, a bundled one, or a folder with open_clip_config.json."""
    pretrained: Annotated[str | None, arg(metavar="TAG|FILE|random")] = None
    """Weights: an open_clip tag, a file, or "random"; bundled models bring their own."""
    cache: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for computed features; default $XDG_CACHE_HOME/hamming-kd."""


@dataclass(frozen=True)
class HeadConfig:
    """The hash heads, one per modality."""

    kind: Annotated[Literal["mlp", "linear"], arg(name="head")] = "mlp"
    """mlp: linear, ReLU, dropout, linear, tanh; linear: dropout, linear, tanh."""
    hidden: int = 1024
    """Width of the hidden layer of an mlp head."""
    dropout: float = 0.0
    """Share of units dropped while training."""

    def __post_init__(self) -> None:
        _require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        _require(0 <= self.dropout < 1, "dropout", "a share in [0, 1)", self.dropout)


@dataclass(frozen=True)
class OptimConfig:
    """Adam with a cosine decay to zero, the same for every stage."""

    epochs: int = 40
    """Passes over the training rows per stage."""
    batch_size: int = 64
    """Items per step."""
    lr: float = 5e-4
    """Learning rate at the start of a stage."""
    weight_decay: float = 1e-4
    """L2 penalty as Adam applies it."""
    validate_every: int = 5
    """Validation MAP after every so many epochs; 0 is never."""
    checkpoint_every: int = 5
    """A checkpoint after every so many epochs, and at the end of a stage."""

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        _require(self.lr > 0, "lr", "a positive number", self.lr)
        _require(self.weight_decay >= 0, "weight_decay", "at least 0", self.weight_decay)
        _require(self.validate_every >= 0, "validate_every", "at least 0", self.validate_every)
        _require(
            self.checkpoint_every >= 1, "checkpoint_every", "at least 1", self.checkpoint_every
        )


@dataclass(frozen=True)
class TeacherWeights:
    """Weights of SODA's stage 1, image with label prompt (methods/soda.py names the terms).

    gap, quantization and balance are means over bits; theirs are multiplied by bits / 64.
    """

    inter: float = 1.0
    intra: float = 1.0
    gap: float = 1.0
    quantization: float = 3.0
    balance: float = 0.0


@dataclass(frozen=True)
class StudentWeights:
    """Weights of SODA's stage 2, text against the frozen image codes.

    pair and quantization are means over bits; theirs are multiplied by bits / 64.
    """

    sim: float = 1.0
    pair: float = 1.0
    relation: float = 0.0
    intra: float = 1.0
    quantization: float = 3.0


@dataclass(frozen=True)
class SodaConfig:
    """SODA: a teacher on image and label prompt, then a text student."""

    prompt: Literal["sentence", "set", "bare"] = "sentence"
    """How an item's labels become text."""
    template: str = "a photo of {}"
    """The prompt around the label names; unused by bare."""
    normalize: bool = False
    """Compare directions only: theta = n_bits / 2 * cosine instead of half the inner product."""
    similarity: Literal["binary", "multilevel"] = "binary"
    """binary: shares a label; multilevel: cosine of the label vectors."""
    teacher: TeacherWeights = TeacherWeights()
    student: StudentWeights = StudentWeights()

    def __post_init__(self) -> None:
        _require("{}" in self.template, "template", "a text with {} in it", self.template)


@dataclass(frozen=True)
class NoTeacherConfig:
    """The ablation without a teacher: image and text trained directly, weights of its terms.

    pair and quantization are means over bits; theirs are multiplied by bits / 64.
    """

    inter: float = 1.0
    pair: float = 0.25
    quantization: float = 0.25


@dataclass(frozen=True)
class ContrastiveConfig:
    """The label-free baseline: InfoNCE on pairs, then the sign of a random rotation."""

    dim: int = 256
    """Width of the float embedding."""
    temperature: float = 0.5
    """InfoNCE temperature."""

    def __post_init__(self) -> None:
        _require(self.dim >= 1, "dim", "at least 1", self.dim)
        _require(self.temperature > 0, "temperature", "a positive number", self.temperature)


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    method: Literal["soda", "no_teacher", "contrastive"] = "soda"
    """What is trained."""
    bits: int = 64
    """Length of a code."""
    seed: int = 0
    """Seed of weights, batch order and dropout."""
    run: Annotated[Path | None, arg(metavar="DIR")] = None
    """Run folder; default runs/METHOD-DATA-BITS-SEED."""
    data: Annotated[DataConfig, arg(name="")] = field(default_factory=DataConfig)
    encoder: Annotated[EncoderConfig, arg(name="")] = field(default_factory=EncoderConfig)
    head: Annotated[HeadConfig, arg(name="")] = field(default_factory=HeadConfig)
    optim: Annotated[OptimConfig, arg(name="")] = field(default_factory=OptimConfig)
    soda: SodaConfig = field(default_factory=SodaConfig)
    no_teacher: NoTeacherConfig = field(default_factory=NoTeacherConfig)
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)

    def __post_init__(self) -> None:
        _require(self.bits >= 1, "bits", "at least 1", self.bits)
        _require(self.seed >= 0, "seed", "at least 0", self.seed)

    @property
    def run_folder(self) -> Path:
        """Where the run is written."""
        name = f"{self.method}-{self.data.name}-{self.bits}bits-seed{self.seed}"
        return self.run or Path("runs") / name


def load_config(preset: str | Path) -> TrainConfig:
    """Read a TOML file, or a preset of `distill/configs` by name.

    Raises:
        ConfigError: no such preset, not TOML, unknown key (with near names), or a bad value.
    """
    path = Path(preset)
    if path.suffix != ".toml":
        path = PRESETS / f"{preset}.toml"
        known = sorted(file.stem for file in PRESETS.glob("*.toml"))
        if not path.is_file():
            raise ConfigError(
                f"preset: expected a .toml file or one of {', '.join(known)}, got {preset!r}"
                f"{_near(str(preset), known)}"
            )
    try:
        return config_from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML, got a syntax error: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """Build the configuration from nested tables; what is absent keeps its default."""
    return typing.cast(TrainConfig, _build(TrainConfig, values, prefix=""))


def config_to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, the inverse of `config_from_dict`; settings that are None are absent."""
    result: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            result[item.name] = config_to_dict(value)
        elif value is not None:
            result[item.name] = str(value) if isinstance(value, Path) else value
    return result


def config_to_toml(config: TrainConfig) -> str:
    """The configuration as a TOML file that `load_config` reads back to an equal one."""
    lines: list[str] = []
    _emit(config_to_dict(config), "", lines)
    return "\n".join(lines).lstrip() + "\n"


def differing_keys(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Dotted names of the settings that change what is trained and differ, in file order.

    The run folder and the feature cache are places, not settings of the result.
    """
    a, b = _flatten(config_to_dict(one)), _flatten(config_to_dict(other))
    keys = dict.fromkeys([*a, *b])
    return [k for k in keys if k not in ("run", "encoder.cache") and a.get(k) != b.get(k)]


def _build(kind: type, values: Mapping[str, Any], *, prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    arguments = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in known:
            raise ConfigError(f"{name}: unknown key{_near(key, known)}")
        arguments[key] = _value(hints[key], value, name)
    return kind(**arguments)


def _value(hint: Any, value: Any, name: str) -> Any:
    """Check one TOML value against its type hint."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name}: expected a table, got {value!r}")
        return _build(typing.cast(type, hint), value, prefix=f"{name}.")
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            wanted = ", ".join(map(repr, choices))
            raise ConfigError(f"{name}: expected one of {wanted}, got {value!r}")
        return value
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    accepted = {float: (int, float), Path: (str, Path)}.get(hint, (hint,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}")
    return hint(value)


def _emit(values: Mapping[str, Any], table: str, lines: list[str]) -> None:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    if plain and table:
        lines.append(f"\n[{table}]")
    # JSON's strings, numbers and booleans are TOML's too.
    lines.extend(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items())
    for key, value in values.items():
        if isinstance(value, dict):
            _emit(value, f"{table}.{key}" if table else key, lines)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"


def _require(condition: bool, name: str, expected: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {value!r}")
