import re
import tomllib
from pathlib import Path

import pytest

from distill.config import (
    PRESETS,
    ConfigError,
    DataConfig,
    EncoderConfig,
    HeadConfig,
    NoTeacherConfig,
    OptimConfig,
    SkdchConfig,
    SodaConfig,
    TrainConfig,
    config_from_dict,
    config_to_toml,
    differing_keys,
    load_config,
    unread_keys,
    unstated_keys,
)


def test_toml_round_trip() -> None:
    config = TrainConfig(
        bits=7,
        run=Path("runs/ä b"),
        data=DataConfig(name="manifest", path=Path('a "quoted"\\name.jsonl')),
        optim=OptimConfig(lr=1, weight_decay=1e-20),
        soda=SodaConfig(template="ein Bild \t\x7f von {}", normalize=True),
    )
    assert config_from_dict(tomllib.loads(config_to_toml(config))) == config


def test_a_list_round_trip() -> None:
    config = TrainConfig(data=DataConfig(modalities=("image", "tags")))
    assert config_from_dict(tomllib.loads(config_to_toml(config))) == config


@pytest.mark.parametrize("preset", sorted(file.stem for file in PRESETS.glob("*.toml")))
def test_every_preset_loads(preset: str) -> None:
    assert isinstance(load_config(preset), TrainConfig)


def test_the_main_preset_is_the_default() -> None:
    assert load_config("main") == TrainConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bit": 3}, "bit: unknown key; did you mean bits?"),
        ({"optim": {"epoch": 3}}, "optim.epoch: unknown key; did you mean epochs or epoch_items?"),
        ({"soda": {"student": {"pairs": 3}}}, "student.pairs: unknown key; did you mean pair?"),
        ({"head": {"zzz": 3}}, "head.zzz: unknown key; known: kind, hidden, dropout"),
        ({"bits": "64"}, "bits: expected int, got '64'"),
        ({"bits": True}, "bits: expected int, got True"),
        ({"bits": 0}, "bits: expected at least 1, got 0"),
        ({"data": {"modalities": "image"}}, "modalities: expected a list, got 'image'"),
        ({"data": {"modalities": [3]}}, "modalities: expected str, got 3"),
        ({"optim": 3}, "optim: expected a table, got 3"),
        ({"method": "sodda"}, "method: expected one of 'soda', 'no_teacher', 'contrastive', "),
        ({"head": {"dropout": 1.0}}, "dropout: expected a share in [0, 1), got 1.0"),
        ({"soda": {"template": "x"}}, "soda.template: expected a text with {} in it, once and"),
        ({"soda": {"template": "{} {x}"}}, "soda.template: expected a text with {} in it, once"),
        ({"soda": {"template": "{} {}"}}, "soda.template: expected a text with {} in it, once"),
        ({"optim": {"lr": float("inf")}}, "optim.lr: expected a positive finite number, got inf"),
        ({"optim": {"weight_decay": float("nan")}}, "optim.weight_decay: expected a finite"),
        ({"contrastive": {"temperature": float("inf")}}, "contrastive.temperature: expected a"),
        ({"soda": {"teacher": {"inter": float("nan")}}}, "soda.teacher.inter: expected a finite"),
        ({"soda": {"student": {"pair": -1}}}, "pair: expected a finite number of at least 0, got"),
        ({"no_teacher": {"pair": float("inf")}}, "no_teacher.pair: expected a finite number"),
        ({"seed": 2**63}, "seed: expected 0..2**63 - 1, got 9223372036854775808"),
    ],
)
def test_a_bad_value_is_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        config_from_dict(values)


def test_an_unknown_preset_names_near_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"preset: expected .* one of .*'tinny'; did you mean tiny"
    ):
        load_config("tinny")


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("bits = = 3")
    with pytest.raises(ConfigError, match=r"mine\.toml: expected TOML, got a syntax error"):
        load_config(file)
    file.write_bytes('method = "ö"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mine\.toml: expected UTF-8 text, got invalid"):
        load_config(file)
    file.write_text("[optim]\nlearning_rate = 3")
    with pytest.raises(ConfigError, match=r"mine\.toml: optim\.learning_rate: unknown key"):
        load_config(file)


def test_an_integer_is_a_float_where_one_is_wanted() -> None:
    value = config_from_dict({"optim": {"lr": 1}}).optim.lr
    assert isinstance(value, float)


def test_what_a_file_does_not_state_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(config_to_toml(TrainConfig()))
    assert unstated_keys(file) == []
    lines = file.read_text().splitlines()
    older = [line for line in lines if not line.startswith(("contrast =", "warmup =", "dim ="))]
    file.write_text("\n".join(older))
    # The table of a method that was not trained says nothing of the run.
    expected = ["optim.warmup", "soda.teacher.contrast", "soda.student.contrast"]
    assert unstated_keys(file) == expected


def test_differing_keys_ignores_places() -> None:
    one, data = TrainConfig(run=Path("a")), DataConfig(root=Path("c"))
    other = TrainConfig(run=Path("b"), seed=1, head=HeadConfig(hidden=3), data=data)
    assert differing_keys(one, other) == ["seed", "head.hidden", "data.root"]


def test_differing_keys_ignores_what_changes_no_result() -> None:
    one = TrainConfig()
    other = TrainConfig(device="cuda", optim=OptimConfig(checkpoint_every=9, validate_every=9))
    assert differing_keys(one, other) == []
    patient = TrainConfig(optim=OptimConfig(patience=2))
    assert differing_keys(patient, other) == ["optim.validate_every", "optim.patience"]


def test_differing_keys_ignores_what_a_part_of_skdch_does_not_read() -> None:
    other = SkdchConfig(neighbours=7, picks=1, margin=0.5, student_rate=2.0)
    read = {
        "skdch": ["margin", "student_rate", "picks", "neighbours"],
        "schgan": ["margin", "picks"],
        "triplet": ["margin", "student_rate"],
    }
    for method, names in read.items():
        found = differing_keys(TrainConfig(method=method), TrainConfig(method=method, skdch=other))
        assert found == [f"skdch.{name}" for name in names]


def test_unread_keys_are_those_of_other_methods() -> None:
    given = TrainConfig(bits=16, no_teacher=NoTeacherConfig(pair=3), skdch=SkdchConfig(picks=1))
    assert unread_keys(given, TrainConfig()) == ["no_teacher.pair", "skdch.picks"]
    assert unread_keys(TrainConfig(bits=16), TrainConfig()) == []


def test_differing_keys_ignores_the_tables_of_other_methods() -> None:
    one, table = TrainConfig(), NoTeacherConfig(pair=3)
    assert differing_keys(one, TrainConfig(no_teacher=table)) == []
    trained = TrainConfig(method="no_teacher")
    other = TrainConfig(method="no_teacher", no_teacher=table)
    assert differing_keys(trained, other) == ["no_teacher.pair"]
    assert differing_keys(one, trained) == ["method"]


def test_places_of_inputs_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "weights.pt").touch()
    config = TrainConfig(
        data=DataConfig(root=Path("a"), path=Path("b")),
        encoder=EncoderConfig(teacher="model", pretrained="weights.pt", cache=Path("c")),
    ).with_absolute_paths()
    assert (config.data.root, config.data.path) == (tmp_path / "a", tmp_path / "b")
    assert config.encoder.cache == tmp_path / "c"
    assert config.encoder.teacher == str(tmp_path / "model")
    assert config.encoder.pretrained == str(tmp_path / "weights.pt")
    named = TrainConfig(encoder=EncoderConfig(pretrained="random"))
    assert named.with_absolute_paths() == named
