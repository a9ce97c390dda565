"""An exported encoder gives the codes that `distill.encode` gives."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import encode, export, train
from distill.config import (
    DataConfig,
    EncoderConfig,
    HeadConfig,
    ImagesConfig,
    OptimConfig,
    TrainConfig,
)
from distill.data.images import decode
from distill.encoders.augment import clean_view

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return train.train(
        TrainConfig(
            method="cibhash",
            bits=20,  # a last byte with padding
            run=folder / "run",
            data=DataConfig(name="manifest", path=shapes),
            encoder=EncoderConfig(cache=folder),
            head=HeadConfig(kind="mlp", hidden=16),
            optim=OptimConfig(epochs=1, batch_size=8),
            images=ImagesConfig(
                backbone="test_resnet", backbone_size=32, backbone_weights="random", views=2
            ),
        )
    )


def test_codes_of_both_files_are_those_of_encode(
    trained: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export.main([str(trained), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "torch.export: 36 of 36 codes equal" in printed
    assert "onnxruntime: 36 of 36 codes equal" in printed
    files = [shapes.parent / f"{i}.png" for i in range(5)]
    encode.main([str(trained), "--images", *map(str, files), "--out", str(tmp_path / "codes.npy")])
    codes = np.load(tmp_path / "codes.npy")
    pixels = np.stack([clean_view(decode(f.read_bytes(), f.name), 32) for f in files])
    out = tmp_path / "out"
    assert np.array_equal(export.run_onnx(out / "encoder.onnx", pixels), codes)
    assert np.array_equal(export.run_onnx(out / "encoder.onnx", pixels[:1]), codes[:1])
    program = torch.export.load(str(out / "encoder.pt2")).module()
    assert np.array_equal(program(torch.from_numpy(pixels)).numpy(), codes)
    assert not (codes[:, 2] & 0b1111).any()
    about = json.loads((out / "encoder.json").read_text())
    assert (about["bits"], about["model"], about["weights"]) == (20, "teacher", "RANDOM")


def test_wrong_use_is_one_sentence_and_writes_nothing(
    trained: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "encoder.onnx").write_text("mine")
    for words, message in (
        ([str(run)], "export: expected a run of cibhash, bihalf, brcd, got one of soda"),
        ([str(trained), "--model", "student"], "model: expected teacher of the cibhash run"),
        ([str(trained), "--out", str(out)], "with encoder.onnx; give --overwrite or another --out"),
    ):
        with pytest.raises(SystemExit) as caught:
            export.main(["--out", str(tmp_path / "new"), *words])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == ["encoder.onnx"]
    assert not (tmp_path / "new").exists()
