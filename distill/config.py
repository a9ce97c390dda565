"""Every setting of a training run: small frozen dataclasses, TOML in, TOML out.

A named experiment is a file in `distill/configs`; flags of `python -m distill.train` override it.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from distill import tables
from distill.config_baselines import DchmtConfig, DcmhConfig, SsahConfig
from distill.config_data import DataConfig, EncoderConfig
from distill.config_images import DistillConfig, HashingConfig, ImagesConfig
from distill.config_optim import OptimConfig
from distill.config_semi import SkdchConfig
from distill.config_texts import (
    ContrastiveConfig,
    NoTeacherConfig,
    SodaConfig,
    StudentWeights,
    TeacherWeights,
)
from distill.tables import ConfigError, require

__all__ = [
    "ConfigError",
    "ContrastiveConfig",
    "DataConfig",
    "DchmtConfig",
    "DcmhConfig",
    "DistillConfig",
    "EncoderConfig",
    "HashingConfig",
    "HeadConfig",
    "ImagesConfig",
    "NoTeacherConfig",
    "OptimConfig",
    "SkdchConfig",
    "SodaConfig",
    "SsahConfig",
    "StudentWeights",
    "TeacherWeights",
    "TrainConfig",
    "config_from_dict",
    "config_to_toml",
    "differing_keys",
    "load_config",
    "unread_keys",
    "unstated_keys",
]

_TABLES: dict[str, set[str]] = {
    "soda": {"soda"},
    "no_teacher": {"no_teacher"},
    "contrastive": {"contrastive"},
    "dcmh": {"dcmh"},
    "ssah": {"ssah"},
    "dchmt": {"dchmt"},
    "skdch": {"skdch"},
    "schgan": {"skdch"},
    "triplet": {"skdch"},
    "cibhash": {"images", "hashing"},
    "bihalf": {"images", "hashing"},
    "brcd": {"images", "hashing", "distill"},
}
"""Method -> the tables that are its own; the others change nothing of what it trains."""

_UNREAD: dict[str, set[str]] = {
    "schgan": {"loss", "pull", "offset", "student_triplets", "student_rate", "neighbours"}
    | {"authors_bug"},
    "triplet": {"triplets", "rounds", "generator_epochs", "discriminator_epochs", "candidates"}
    | {"generator_rate", "discriminator_rate", "picks", "neighbours", "authors_leak"}
    | {"authors_bug"},
}
"""Settings of the table skdch that the teacher alone, or the student alone, does not read."""

PRESETS = Path(__file__).parent / "configs"
PRESET_NAMES = tuple(sorted(file.stem for file in PRESETS.glob("*.toml")))


@dataclass(frozen=True)
class HeadConfig:
    """The hash heads, one per modality."""

    kind: Annotated[Literal["mlp", "linear", "tanh"], arg(name="head")] = "mlp"
    """mlp: linear, ReLU, dropout, linear, tanh; linear: dropout, linear, tanh; tanh: as mlp, with
    tanh in the place of ReLU, on z-scored features (SKDCH's own nets), which neither fine-tuned
    towers nor methods of images alone have."""
    hidden: int = 1024
    """Width of the hidden layer of an mlp or tanh head."""
    dropout: float = 0.0
    """Share of units dropped while training."""

    def __post_init__(self) -> None:
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(0 <= self.dropout < 1, "dropout", "a share in [0, 1)", self.dropout)


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    method: Literal[
        "soda",
        "no_teacher",
        "contrastive",
        "dcmh",
        "ssah",
        "dchmt",
        "skdch",
        "schgan",
        "triplet",
        "cibhash",
        "bihalf",
        "brcd",
    ] = "soda"
    """What is trained: images and texts (soda, no_teacher, contrastive, dcmh, ssah, dchmt); those
    and further modalities, also from items without labels (skdch, schgan its teacher, triplet its
    student); or images alone: a hashing teacher (cibhash, bihalf) or a small student of it
    (brcd)."""
    bits: int = 64
    """Length of a code."""
    seed: int = 0
    """Seed of weights, batch order and dropout."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where image-text methods train; each process of torchrun takes a GPU of its own."""
    run: Annotated[Path | None, arg(metavar="DIR")] = None
    """Run folder; default runs/METHOD-DATA-BITS-SEED."""
    data: Annotated[DataConfig, arg(name="")] = field(default_factory=DataConfig)
    encoder: Annotated[EncoderConfig, arg(name="")] = field(default_factory=EncoderConfig)
    head: Annotated[HeadConfig, arg(name="")] = field(default_factory=HeadConfig)
    optim: Annotated[OptimConfig, arg(name="")] = field(default_factory=OptimConfig)
    soda: SodaConfig = field(default_factory=SodaConfig)
    no_teacher: NoTeacherConfig = field(default_factory=NoTeacherConfig)
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    dcmh: DcmhConfig = field(default_factory=DcmhConfig)
    ssah: SsahConfig = field(default_factory=SsahConfig)
    dchmt: DchmtConfig = field(default_factory=DchmtConfig)
    skdch: SkdchConfig = field(default_factory=SkdchConfig)
    images: Annotated[ImagesConfig, arg(name="")] = field(default_factory=ImagesConfig)
    hashing: HashingConfig = field(default_factory=HashingConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)

    def __post_init__(self) -> None:
        require(self.bits >= 1, "bits", "at least 1", self.bits)
        require(0 <= self.seed < 2**63, "seed", "0..2**63 - 1", self.seed)

    def with_absolute_paths(self) -> "TrainConfig":
        """The same settings, with the places of all inputs named as from any folder."""
        data, encoder, images = self.data, self.encoder, self.images
        teacher = Path(encoder.teacher)
        return dataclasses.replace(
            self,
            data=dataclasses.replace(
                data,
                root=data.root and data.root.absolute(),
                path=data.path and data.path.absolute(),
            ),
            encoder=dataclasses.replace(
                encoder,
                teacher=str(teacher.absolute()) if teacher.is_dir() else encoder.teacher,
                pretrained=_absolute_file(encoder.pretrained),
                cache=encoder.cache and encoder.cache.absolute(),
            ),
            images=dataclasses.replace(
                images,
                teacher_run=images.teacher_run and images.teacher_run.absolute(),
                backbone_weights=_absolute_file(images.backbone_weights),
                student_weights=_absolute_file(images.student_weights),
            ),
        )

    @property
    def encoder_names(self) -> str:
        """The frozen encoders that are looked through, for metadata."""
        if "images" not in _TABLES[self.method]:
            return self.encoder.teacher
        images = self.images
        teacher = f"{images.backbone} at {images.backbone_size} px"
        student = f"{images.student} at {images.student_size} px"
        return f"{student}, {teacher}" if self.method == "brcd" else teacher

    @property
    def run_folder(self) -> Path:
        """Where the run is written."""
        name = f"{self.method}-{self.data.name}-{self.bits}bits-seed{self.seed}"
        return self.run or Path("runs") / name


def _absolute_file(weights: str | None) -> str | None:
    """A file as named from any folder; another word as it is."""
    return str(Path(weights).absolute()) if weights and Path(weights).is_file() else weights


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


def unstated_keys(path: Path) -> list[str]:
    """Dotted names of the settings that a run's file does not name, in file order.

    A run states every setting that has a value. One that it does not state is younger than the run:
    what `load_config` takes in its place is no word of how the run was trained.

    Raises:
        ConfigError: as `load_config`.
    """
    config = load_config(path)
    stated = tables.flatten(tomllib.loads(path.read_text(encoding="utf-8")))
    return [
        key
        for key in tables.flatten(tables.to_dict(config))
        if key not in stated and _reads(config.method, key)
    ]


def unread_keys(config: TrainConfig, other: TrainConfig) -> list[str]:
    """Dotted names of the settings that differ from another configuration's and change nothing.

    They stand in tables that the method does not read, in file order.
    """
    a, b = (tables.flatten(tables.to_dict(one)) for one in (config, other))
    return [key for key in a if a[key] != b.get(key) and not _reads(config.method, key)]


def _reads(method: str, key: str) -> bool:
    """Whether a setting, by its dotted name, may change what a method trains."""
    table, _, name = key.partition(".")
    if not any(table in own for own in _TABLES.values()):
        return True
    return table in _TABLES[method] and name not in _UNREAD.get(method, set())


def differing_keys(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Dotted names of the settings that change what is trained and differ, in file order.

    The run folder and the feature cache are places, the device and how often checkpoints are
    written are ways to the same result, and so is how often a run validates whose best epoch is not
    chosen by it; what neither method reads changes nothing.
    """
    without_effect = {"run", "encoder.cache", "device", "optim.checkpoint_every"}
    if one.optim.patience == other.optim.patience == 0:
        without_effect.add("optim.validate_every")
    a, b = (tables.flatten(tables.to_dict(config)) for config in (one, other))
    return [
        key
        for key in dict.fromkeys([*a, *b])
        if key not in without_effect
        and (_reads(one.method, key) or _reads(other.method, key))
        and a.get(key) != b.get(key)
    ]
