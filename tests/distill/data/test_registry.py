import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from distill.config import DataConfig
from distill.data import NAMES, load
from distill.types import DistillError


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("openclipat", {}, r'data: expected one of .*, got "openclipat"; did you mean openclipart'),
        ("emojis", {}, r"did you mean emoji or emoji-all\?"),
        ("emoji_fluent", {}, r"did you mean emoji-fluent\?"),
        ("xyz", {}, r'got "xyz"; name one of these'),
        (
            "manifest",
            {},
            r"path: expected a JSONL file for data manifest, got nothing; give --path",
        ),
        ("imagefolder", {}, r"root: expected a folder for data imagefolder, got nothing; give"),
        ("manifest", {"root": Path("x")}, r"root: expected none for data manifest, got x; leave"),
        (
            "emoji",
            {"root": Path("x")},
            r"root: expected a folder with emoji\.json, got x \(No such f",
        ),
        ("openclipart", {"path": Path("x")}, r"path: expected none for data openclipart, got x"),
        ("emoji", {"text": "none"}, r"text: expected full or scrubbed, got 'none'"),
        ("emoji", {"bad_images": None}, r"bad_images: expected refuse or skip, got None"),
        ("emoji", {"split_seed": -1}, r"split_seed: expected an integer of at least 0, got -1; g"),
        ("emoji", {"split_seed": 1.5}, r"split_seed: expected an integer of at least 0, got 1\.5"),
        (
            "cifar10-subset",
            {},
            r"path: expected an \.npz file for data cifar10-subset, got nothing",
        ),
        (
            "cifar10",
            {"path": Path("x"), "root": Path("y")},
            r"path: expected none for data cifar10",
        ),
        ("listfile", {}, r"root: expected a folder for data listfile, got nothing; give --root"),
        (
            "emoji",
            {"queries_per_class": 5},
            r"queries_per_class: expected none for data emoji, got",
        ),
        (
            "cifar10",
            {"root": Path("x"), "queries_per_class": -1},
            r"queries_per_class: expected an integer of at least 0, got -1",
        ),
        ("emoji", {"protocol": "coco-mith"}, r"protocol: expected none for data emoji, got coco-m"),
        ("manifest", {"path": Path("x"), "protocol": "y"}, r"protocol: expected none for data man"),
        ("wikipedia", {"root": Path("x"), "protocol": "y"}, r"protocol: expected none for data w"),
        ("mat", {"root": Path("x"), "protocol": "y"}, r'protocol: expected one of .*, got "y"'),
        ("coco", {"root": Path("x"), "classes": 10}, r"classes: expected none for data coco, got"),
        ("nuswide", {"root": Path("x"), "classes": -1}, r"classes: expected an integer of at le"),
        ("coco", {"root": Path("x"), "text_features": "lda"}, r"text_features: expected none for"),
        (
            "wikipedia",
            {"root": Path("x"), "text_features": "bow"},
            r"text_features: expected tfidf or lda, got 'bow'",
        ),
        ("dcmh", {}, r"path: expected FLICKR-25K\.mat for data dcmh, got nothing; give --path"),
        ("wikipedia", {}, r"root: expected a folder for data wikipedia, got nothing"),
        ("emoji", {"modalities": ("image", "tags")}, r"modalities: expected some of image, te"),
        (
            "emoji",
            {"labelled": 0},
            r"labelled: expected a share in \(0, 1\], got 0; 1 hides no lab",
        ),
        ("emoji", {"split_seed": True}, r"split_seed: expected an integer of at least 0, got True"),
    ],
)
def test_wrong_settings(name: str, settings: dict, message: str):
    with pytest.raises(DistillError, match=message) as caught:
        load(name, **settings)
    assert "\n" not in str(caught.value)


def test_names():
    assert NAMES == (
        "openclipart",
        "emoji",
        "emoji-fluent",
        "emoji-all",
        "manifest",
        "imagefolder",
        "listfile",
        "cifar10",
        "cifar10-subset",
        "dcmh",
        "mat",
        "coco",
        "nuswide",
        "features",
        "wikipedia",
    )


def test_no_seed_is_seed_0():
    found = {load("emoji", split_seed=seed).fingerprint for seed in (None, 0)}
    assert found == {load("emoji").fingerprint}
    assert load("emoji", split_seed=1).fingerprint not in found


def test_load_takes_every_setting_of_the_configuration():
    assert load(**dataclasses.asdict(DataConfig(name="emoji"))).name == "emoji"


def test_a_dataset_cannot_be_changed():
    dataset = load("emoji")
    for array in (dataset.labels, *dataset.splits.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "x"


def test_reading_needs_no_file_outside_the_package(tmp_path: Path):
    # An audit hook sees every file that Python opens.
    code = """
import sys, sysconfig
from pathlib import Path
import distill.data
package = str(Path(distill.data.__file__).parent)
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
for name in ("openclipart", "emoji", "emoji-fluent"):
    distill.data.load(name).image(0)
outside = [file for file in opened if "/site-packages/" not in file
           and not file.startswith((package, sysconfig.get_paths()["stdlib"]))]
print(outside)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
