"""What the rows of a comparison are called."""

import dataclasses
from pathlib import Path

import pytest

from distill.checkpoint import CONFIG, Run, load_run
from distill.config import PRESET_NAMES, ImagesConfig, TrainConfig, config_to_toml, load_config
from distill.report.names import letters, row_names

SODA = [name for name in PRESET_NAMES if load_config(name).method == "soda" and name != "tiny"]


def runs(tmp_path: Path, *configs: TrainConfig) -> list[Run]:
    """Run folders that hold no more than their settings."""
    found = []
    for i, config in enumerate(configs):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / CONFIG).write_text(config_to_toml(config))
        found.append(load_run(tmp_path / f"{i}"))
    return found


def soda(**settings: object) -> TrainConfig:
    """The defaults, but for settings of the method."""
    one = TrainConfig(bits=16)
    return dataclasses.replace(one, soda=dataclasses.replace(one.soda, **settings))


def test_every_preset_has_a_short_name_of_its_own(tmp_path: Path) -> None:
    presets = ["main", *(name for name in SODA if name != "main")]
    named = row_names(runs(tmp_path, *map(load_config, presets)))
    names = dict(zip(presets, (row.name for row in named), strict=True))
    assert len(set(names.values())) == len(presets) > 12
    assert names["main"] == "soda · 64 bits"
    assert names["soda-no-contrast"] == "soda · 64 bits · contrast 0"
    assert names["soda-no-gap"] == "soda · 64 bits · gap 0"
    assert names["finetune"] == (
        "soda · 64 bits · encoder.mode finetune · epochs 30 · optimizer adamw · 5 more settings"
    )
    assert all(len(name) < 60 for preset, name in names.items() if preset != "finetune")
    assert [row.letter for row in named] == [letters(i) for i in range(len(presets))]
    settings = named[presets.index("soda-no-contrast")].settings
    assert "soda.teacher.contrast 0 (" in settings
    assert "soda.student.contrast 0 (" in settings
    assert " in A)" in settings
    assert named[0].settings == ""


def test_a_key_is_as_long_as_it_must_be(tmp_path: Path) -> None:
    one = soda()
    teacher = dataclasses.replace(one.soda.teacher, contrast=0.25)
    student = dataclasses.replace(one.soda.student, contrast=0.75)
    changed = (soda(teacher=teacher), soda(student=student), soda(teacher=teacher, student=student))
    other = dataclasses.replace(one, data=dataclasses.replace(one.data, name="emoji"))
    names = [row.name for row in row_names(runs(tmp_path, one, *changed, other))]
    assert names == [
        "soda · 16 bits",
        "soda · 16 bits · teacher.contrast 0.25",
        "soda · 16 bits · student.contrast 0.75",
        "soda · 16 bits · teacher.contrast 0.25 · student.contrast 0.75",
        "soda · 16 bits · data.name emoji",
    ]


def test_only_the_first_row_of_the_same_method_and_bits_is_told_from(tmp_path: Path) -> None:
    wide = dataclasses.replace(soda(normalize=True), bits=32)
    found = row_names(runs(tmp_path, soda(), wide, dataclasses.replace(wide, method="no_teacher")))
    names = [row.name for row in found]
    assert names == ["soda · 16 bits", "soda · 32 bits", "no_teacher · 32 bits"]


@pytest.mark.parametrize("text", ["a {} $x_^$ cost", "a {} with\nlines", "{} " + "long " * 30])
def test_values_are_one_short_line(tmp_path: Path, text: str) -> None:
    one, other = row_names(runs(tmp_path, soda(), soda(template=text)))
    assert one.name != other.name
    assert "\n" not in other.name + other.settings
    assert len(other.name) < 60
    assert " ".join(text.split()) in other.settings


def test_values_of_a_list_are_joined(tmp_path: Path) -> None:
    one = TrainConfig(bits=16)
    data = dataclasses.replace(one.data, modalities=("image", "tags"))
    other = row_names(runs(tmp_path, one, dataclasses.replace(one, data=data)))[1]
    assert other.name == "soda · 16 bits · modalities image and tags"


def test_names_are_unique_where_short_values_are_not(tmp_path: Path) -> None:
    def student(place: Path | None) -> TrainConfig:
        return TrainConfig(method="brcd", bits=16, images=ImagesConfig(teacher_run=place))

    places = [None, Path("/runs/a/teacher"), Path("/runs/b/teacher"), Path("/runs/c")]
    names = [row.name for row in row_names(runs(tmp_path, *map(student, places)))]
    assert [name.removeprefix("brcd · 16 bits") for name in names] == [
        "",
        " · teacher_run /runs/a/teacher",
        " · teacher_run /runs/b/teacher",
        " · teacher_run c",
    ]


def test_what_an_older_run_does_not_state_is_not_told(tmp_path: Path) -> None:
    found = runs(tmp_path, soda(normalize=True), soda(), soda(), soda())
    for run, keys in zip(found[1:], (["normalize"], ["memory"], ["memory", "joint"]), strict=True):
        lines = (run.path / CONFIG).read_text().splitlines()
        kept = [line for line in lines if line.partition(" ")[0] not in keys]
        (run.path / CONFIG).write_text("\n".join(kept))
    names = [row.name.removeprefix("soda · 16 bits") for row in row_names(found)]
    assert names == [
        "",
        " · older settings",
        " · normalize off · older settings",
        " · normalize off · older settings · no. 2",
    ]


def test_what_the_first_row_does_not_state_is_unknown(tmp_path: Path) -> None:
    found = runs(tmp_path, soda(), soda(normalize=True, memory=True))
    text = (found[0].path / CONFIG).read_text()
    (found[0].path / CONFIG).write_text(text.replace("normalize = false\n", ""))
    first, other = row_names(found)
    assert first.name == "soda · 16 bits · older settings"
    assert other.settings == "soda.normalize on (unknown in A), soda.memory on (off in A)"


def test_letters_go_on() -> None:
    assert [letters(i) for i in (0, 25, 26, 51, 52, 701, 702)] == [
        *("A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"),
    ]
