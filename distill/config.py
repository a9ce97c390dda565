"""Every setting of a training run: small frozen dataclasses, TOML in, TOML out.

A named experiment is a file in `distill/configs`; flags of `python -m distill.train` override it.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from distill import tables
from distill.tables import ConfigError, require, require_weights

PRESETS = Path(__file__).parent / "configs"
PRESET_NAMES = tuple(sorted(file.stem for file in PRESETS.glob("*.toml")))


@dataclass(frozen=True)
class DataConfig:
    """Which items are read, and how."""

    name: Annotated[str, arg(name="data")] = "openclipart"
    """Dataset: openclipart, emoji, emoji-fluent, manifest or imagefolder."""
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
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(0 <= self.dropout < 1, "dropout", "a share in [0, 1)", self.dropout)


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
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        require(0 < self.lr < math.inf, "lr", "a positive finite number", self.lr)
        require_weights(weight_decay=self.weight_decay)
        require(self.validate_every >= 0, "validate_every", "at least 0", self.validate_every)
        require(self.checkpoint_every >= 1, "checkpoint_every", "at least 1", self.checkpoint_every)


@dataclass(frozen=True)
class TeacherWeights:
    """Weights of SODA's stage 1, image with label prompt (methods/soda.py names the terms).

    gap, quantization and balance are means over bits; theirs are multiplied by bits / 64.
    """

    inter: float = 1.0
    """Likelihood of the similarity of image and label prompt codes."""
    intra: float = 1.0
    """The same within the images and within the label prompts."""
    gap: float = 1.0
    """Squared distance between an item's image and label prompt code."""
    quantization: float = 3.0
    """Squared distance of both codes of an item to the sign of their sum."""
    balance: float = 0.0
    """Squared mean of each bit over the batch."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


@dataclass(frozen=True)
class StudentWeights:
    """Weights of SODA's stage 2, text against the frozen image codes.

    pair and quantization are means over bits; theirs are multiplied by bits / 64.
    """

    sim: float = 1.0
    """Likelihood of the similarity of text codes and frozen image codes."""
    pair: float = 1.0
    """Squared distance between a text code and its item's image code."""
    relation: float = 0.0
    """Squared difference between the texts' similarities and the images'."""
    intra: float = 1.0
    """Likelihood of the similarity within the texts."""
    quantization: float = 3.0
    """Squared distance between a code and its sign."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


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
        around = self.template.split("{}")
        require(
            len(around) == 2 and not any(brace in "".join(around) for brace in "{}"),
            "template",
            "a text with {} in it, once and without other braces",
            self.template,
        )


@dataclass(frozen=True)
class NoTeacherConfig:
    """The ablation without a teacher: image and text trained directly, weights of its terms.

    pair and quantization are means over bits; theirs are multiplied by bits / 64.
    """

    inter: float = 1.0
    """Likelihood of the similarity of image and text codes."""
    pair: float = 0.25
    """Squared distance between the codes of an item's image and text."""
    quantization: float = 0.25
    """Squared distance of both codes of an item to the sign of their sum."""

    def __post_init__(self) -> None:
        require_weights(**dataclasses.asdict(self))


@dataclass(frozen=True)
class ContrastiveConfig:
    """The label-free baseline: InfoNCE on pairs, then the sign of a random rotation."""

    dim: int = 256
    """Width of the float embedding."""
    temperature: float = 0.5
    """InfoNCE temperature."""

    def __post_init__(self) -> None:
        require(self.dim >= 1, "dim", "at least 1", self.dim)
        require(
            0 < self.temperature < math.inf,
            "temperature",
            "a positive finite number",
            self.temperature,
        )


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
        require(self.bits >= 1, "bits", "at least 1", self.bits)
        require(0 <= self.seed < 2**63, "seed", "0..2**63 - 1", self.seed)

    def with_absolute_paths(self) -> "TrainConfig":
        """The same settings, with the places of all inputs named as from any folder."""
        data, encoder = self.data, self.encoder
        teacher, weights = Path(encoder.teacher), Path(encoder.pretrained or "")
        return dataclasses.replace(
            self,
            data=dataclasses.replace(
                data,
                root=data.root and data.root.absolute(),
                path=data.path and data.path.absolute(),
            ),
            encoder=EncoderConfig(
                teacher=str(teacher.absolute()) if teacher.is_dir() else encoder.teacher,
                pretrained=str(weights.absolute()) if weights.is_file() else encoder.pretrained,
                cache=encoder.cache and encoder.cache.absolute(),
            ),
        )

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
        if not path.is_file():
            raise ConfigError(
                f"preset: expected a .toml file or one of {', '.join(PRESET_NAMES)}, "
                f"got {preset!r}{tables.near(str(preset), PRESET_NAMES)}"
            )
    try:
        return config_from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML, got a syntax error: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, got {error.reason}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """Build the configuration from nested tables; what is absent keeps its default."""
    return tables.build(TrainConfig, values)


def config_to_toml(config: TrainConfig) -> str:
    """The configuration as a TOML file that `load_config` reads back to an equal one."""
    return tables.to_toml(tables.to_dict(config))


def differing_keys(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Dotted names of the settings that change what is trained and differ, in file order.

    The run folder and the feature cache are places, not settings of the result; the tables of
    methods that neither of them trains change nothing.
    """
    unused = {"soda", "no_teacher", "contrastive"} - {one.method, other.method}
    a, b = (tables.flatten(tables.to_dict(config)) for config in (one, other))
    return [
        key
        for key in dict.fromkeys([*a, *b])
        if key not in ("run", "encoder.cache")
        and key.partition(".")[0] not in unused
        and a.get(key) != b.get(key)
    ]
