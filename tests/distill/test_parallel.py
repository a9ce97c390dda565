"""Two processes of torchrun against one: the same losses, and exact resumption."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distill import checkpoint, parallel, train
from distill.types import DistillError
from tests.distill import parallel_worker

WORKER = Path(parallel_worker.__file__)
METHODS = ("soda", "no_teacher", "contrastive", "dcmh", "ssah", "dchmt")


def start(part: str, folder: Path, manifest: Path) -> subprocess.CompletedProcess[str]:
    """Run a part of the worker in two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(WORKER), part, str(folder), str(manifest)],
        capture_output=True,
        text=True,
        cwd=WORKER.parents[2],
        env={**os.environ, "PYTHONPATH": str(WORKER.parents[2]), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left, run to the end."""
    path = tmp_path_factory.mktemp("two")
    done = start("whole", path, shapes)
    assert done.returncode == 0, done.stderr
    return path


def curve(run: Path) -> list[float]:
    return [record["loss"] for record in checkpoint.load_run(run).records()]


def test_one_process_is_left_as_it_was() -> None:
    assert (parallel.rank(), parallel.size()) == (0, 1)
    codes, rows = torch.rand(3, 2, requires_grad=True), torch.arange(5)
    assert parallel.gather(codes) is codes
    assert torch.equal(parallel.own_rows(rows), rows)
    torch.manual_seed(1)
    drawn = [*parallel.draw_rows(6), *torch.rand(2)]
    torch.manual_seed(1)
    assert drawn == [*torch.randperm(6), *torch.rand(2)]
    calls: list[int] = []
    parallel.on_first(lambda: calls.append(1))
    parallel.in_turn(lambda: calls.append(2))
    assert calls == [1, 2]
    with parallel.processes("cpu") as device:
        assert device == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence(shapes: Path, tmp_path: Path) -> None:
    config = parallel_worker.config(tmp_path, shapes, "run", device="cuda")
    with pytest.raises(DistillError, match="device: expected cpu where torch finds 0 GPUs"):
        train.train(config)
    with pytest.raises(DistillError, match=r"device: expected cpu .*, got cuda"):
        train.train(parallel_worker.config(tmp_path, shapes, "x", device="cuda", method="bihalf"))


def test_gathered_codes_have_the_gradient_of_the_whole_batch(folder: Path) -> None:
    expected = parallel_worker.gradients(parallel_worker.ROWS)
    for rank in (0, 1):
        found = json.loads((folder / f"rank{rank}.json").read_text())
        assert (found["rank"], found["size"], found["said"]) == (rank, 2, "by 0")
        for name in ("codes", "weight"):
            assert torch.allclose(torch.tensor(found[name]), torch.tensor(expected[name]))


def test_processes_see_one_order_and_drop_other_units(folder: Path) -> None:
    one, other = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one["order"] == other["order"]
    assert sorted(one["order"]) == list(range(7))
    assert one["mask"] != other["mask"]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_learn_as_one_with_batches_of_twice_the_size(
    folder: Path, shapes: Path, tmp_path: Path, method: str
) -> None:
    one = train.train(parallel_worker.config(tmp_path, shapes, "one", n=16, method=method))
    # What is left is the order in which float32 numbers are added up.
    assert curve(folder / f"two-{method}") == pytest.approx(curve(one), rel=1e-5)
    assert (folder / f"two-{method}" / "metrics.json").is_file()


def test_so_do_towers_that_learn(folder: Path, shapes: Path, tmp_path: Path) -> None:
    one = parallel_worker.config(tmp_path, shapes, "one", n=16)
    path = train.train(parallel_worker.finetuned(one))
    assert curve(folder / "two-finetuned") == pytest.approx(curve(path), rel=1e-4)


def test_methods_on_images_alone_refuse_torchrun(folder: Path) -> None:
    sentence = "torchrun: expected one process for method cibhash, got 2; start it with python -m"
    assert sentence in (folder / "refused0").read_text()
    assert (folder / "refused1").read_text() == "1"  # without a word
    assert not (folder / "images").exists()


def state(run: Path) -> dict[str, Any]:
    opened = checkpoint.load_run(run)
    tensors = opened.weights().tensors
    records = [
        {k: v for k, v in record.items() if k not in ("seconds", "samples_per_second")}
        for record in opened.records()
    ]
    codes = [opened.codes(m).tobytes() for m in ("image", "text")]
    return {"weights": {k: v.tolist() for k, v in tensors.items()}, "records": records} | {
        "codes": codes
    }


def leftovers(folder: Path) -> list[Path]:
    return [file for file in folder.rglob(".*") if "cache" not in file.parts]


def test_resuming_two_processes_is_bit_equal_after_one_of_them_died(
    folder: Path, shapes: Path
) -> None:
    failed = start("killed", folder, shapes)
    assert failed.returncode != 0
    assert "process 1 was told to fail" in failed.stderr
    run = folder / "dropout-killed"
    assert (run / checkpoint.CHECKPOINT).is_file()
    assert not (run / checkpoint.METRICS).exists()
    assert leftovers(folder) == []
    alone = parallel_worker.config(folder, shapes, "dropout-killed")
    with pytest.raises(DistillError, match=r"resume: expected 2 processes, .*, got 1; start as"):
        train.train(alone, resume=True)
    again = start("resumed", folder, shapes)
    assert "process 1 was told to fail" in again.stderr
    assert state(run) == state(folder / "dropout-whole")
    assert not (folder / "stillborn").exists()
    assert leftovers(folder) == []
