"""What runs in a shard's process, run in this one, and what is refused before Ray is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamming import Index
from hamming.sharded import RayShards, ShardError, Shards, over_ray, shard_actor
from hamming.sharded.search import Call

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shards") / "shard"
    Index.from_codes(CODES).save(file)
    return file


def test_arguments_that_need_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for message, options in {
        r"^device: expected 'cpu' or 'cuda', got 'gpu'; ": {"device": "gpu"},
        r"^num_cpus: expected a whole number beyond 1, got 1\.5; ": {"num_cpus": 1.5},
        r"^num_gpus: expected 0..1,000,000, got -1; ": {"num_gpus": -1},
        r"^timeout: expected 0..1,000,000, got inf; ": {"timeout": float("inf")},
        r"^retries: expected 0..1,000,000, got 1099511627776; ": {"retries": 2**40},
        r"^num_cpus: expected 0 or at least 0.0001, got 1e-05; ": {"num_cpus": 1e-5},
        r"^retries: expected at least 0, got -1; ": {"retries": -1},
        r"^paths: expected at least one file, got none; ": {"paths": []},
    }.items():
        with pytest.raises(ValueError, match=message):
            RayShards(**{"paths": ["a"], **options})
    for message, options in {
        r"^paths: expected a list of files, got str; ": {"paths": "shard"},
        r"^paths: expected file names, got 3; ": {"paths": [3]},
        r"^timeout: expected a number, got '1'; ": {"timeout": "1"},
    }.items():
        with pytest.raises(TypeError, match=message):
            RayShards(**{"paths": ["a"], **options})
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"^ray: expected Ray .*; install hamming-kd\[ray\]$"):
        RayShards(["a"])


def actor(path: Path) -> shard_actor.ShardActor:
    """What a process holds, in this one."""
    name = f"shard 0 ({path})"
    return shard_actor.ShardActor(shard_actor.Settings(name, str(path), "cpu", True, 1))


def test_a_torn_file(path: Path, tmp_path: Path) -> None:
    (torn := tmp_path / "torn").write_bytes(path.read_bytes()[:-1])
    answer = actor(torn).facts()
    assert isinstance(answer, ValueError)
    assert str(answer).startswith(f"{torn}: expected an index that hamming saved, got ")


def test_a_file_that_is_replaced_while_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter("ab")
    monkeypatch.setattr(shard_actor, "header_fingerprint", lambda _: next(turns))
    answer = actor(path).facts()
    assert isinstance(answer, ValueError)
    assert str(answer) == (
        f"{path}: expected a file that stays as it is, got one that was replaced while it was "
        "read; try again"
    )


def test_a_search_without_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise MemoryError

    held = actor(path)
    facts = held.facts()
    assert isinstance(facts, shard_actor.Facts)
    monkeypatch.setattr(Shards, "_ask", full)
    answer = held.search(facts.fingerprint, CODES[:2], None, Call("topk", 1, None, None))
    assert isinstance(answer, ShardError)
    assert str(answer).startswith(f"shard 0 ({path}): expected memory for a search, got none; ")


class SmallMachine:
    """What is asked of Ray to start a session, on two CPUs."""

    running = False

    def is_initialized(self) -> bool:
        return self.running

    def init(self, **options: Any) -> None:
        assert options["address"] == "local"
        self.running = True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "memory": 1e9}

    def shutdown(self) -> None:
        self.running = False


@pytest.mark.parametrize(("kind", "there"), [("CPU", 2), ("GPU", 0)])
def test_more_than_this_machine_has(kind: str, there: int) -> None:
    machine = SmallMachine()
    assert over_ray._join_session(machine, {"CPU": 0.5, "GPU": 0.0}, 4)
    assert not over_ray._join_session(machine, {"CPU": 9.0}, 9)  # the caller's may grow
    machine.shutdown()
    with pytest.raises(
        ValueError,
        match=rf"^num_{kind.lower()}s: expected at most {there} for all 3 shards on this machine, "
        r"got 1 each; lower it, or call ray\.init for a larger cluster first$",
    ):
        over_ray._join_session(machine, {kind: 1.0}, 3)
    assert not machine.running
