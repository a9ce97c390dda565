"""Shards in processes of their own, on one machine or many, over Ray."""

from __future__ import annotations

import logging
import numbers
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from .. import arrays, checks
from ..index import checks as index_checks
from .agreement import check_disjoint, check_one_width
from .search import Call, ShardedSearch
from .shard_actor import Facts, Settings, ShardActor, ShardError

MOST = 1_000_000.0
"""Seconds, tries, CPUs or GPUs: what is meant for never is no more than that."""

INLINE_BYTES = 50_000
"""Up to here an argument travels with the call; Ray's object store costs more than the bytes."""


class RayShards(ShardedSearch):
    """One search over the files of several indexes, each in a process that Ray places.

    Every file, written by `Index.save`, gets an actor, which reads it on the machine it is placed
    on: all machines must see the file under the same path. Results are those of one `Index` that
    holds the shards one after the other.

    A process that dies is started again and reads its file again, and what it was asked is asked
    again, up to `retries` times. A shard that gives no answer within `timeout`, or whose file is
    gone or has become another one, makes the search fail with a `ShardError`: there is no answer
    with a shard left out. Later searches try again.

    Where `ray.init` has been called, that session is used. Otherwise one is started on this
    machine, without dashboard and usage statistics, and ended by `close`, with all that others have
    opened in it. Use it as a context manager, or call `close`. Open it in a thread that lives as
    long as it does, and not before a fork: Ray ends a session with the thread that started it.
    Several threads may search; a process answers one search after the other, and one that ran out
    of time is not stopped there: later ones wait for it.

    Args:
        paths: the files, in the order of the shards.
        device: "cpu", or "cuda" for the GPU that Ray gives to each process.
        num_cpus: that Ray reserves for each process, also less than 1.
        num_gpus: likewise; None = 1 for "cuda", else 0.
        mmap: search files in place instead of reading them first; see `Index.load`.
        timeout: seconds for a search, retries and loading included; also for the start. Where the
            machine of a process cannot be reached, Ray gives up sooner.
        retries: of what a process was asked when it died.

    Raises:
        TypeError: an argument is of a wrong kind.
        ValueError: Ray is not installed, a file cannot be read or is no index, n_bits differ, an id
            is in two shards, or this machine has too few CPUs or GPUs for a session of its own.
        ShardError: a shard was not there within `timeout`.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        device: str = "cpu",
        num_cpus: float = 1.0,
        num_gpus: float | None = None,
        mmap: bool = True,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        files = _files(paths)
        if device not in ("cpu", "cuda"):
            raise ValueError(
                f"device: expected 'cpu' or 'cuda', got {device!r}; choose one of them"
            )
        self._timeout = _number("timeout", timeout)
        self._retries = checks.integer(retries, "retries", least=0, remedy="0 means none")
        _number("retries", self._retries)
        cpus = _share("num_cpus", num_cpus)
        gpus = _share("num_gpus", float(device == "cuda") if num_gpus is None else num_gpus)
        self._ray = _ray()
        self._names = [f"shard {shard} ({path})" for shard, path in enumerate(files)]
        self._started = _join_session(self._ray, {"CPU": cpus, "GPU": gpus}, len(files))
        self._lock = threading.RLock()  # of asking and closing, not of waiting for answers
        self._session = _session_of(self._ray)
        remote = self._ray.remote(ShardActor).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=self._retries
        )
        threads = max(1, int(cpus))
        self._actors: list[Any] = []
        try:
            for name, path in zip(self._names, files, strict=True):
                settings = Settings(name, str(path), device, bool(mmap), threads)
                self._actors.append(remote.remote(settings))
            facts = self._facts()
            super().__init__(facts[0].n_bits, [one.n_codes for one in facts])
            self._fingerprints = [one.fingerprint for one in facts]
            check_one_width([one.n_bits for one in facts])
            check_disjoint([one.span for one in facts], self._ids_of)
        except BaseException:
            self.close()
            raise

    @property
    def ids(self) -> np.ndarray:
        """`(n_codes,) int64`, shard after shard; they are sent here from every shard."""
        return np.concatenate([self._ids_of(shard) for shard in range(len(self._names))])

    @property
    def pids(self) -> list[int]:
        """The process of each shard, on its own machine."""
        return [one.pid for one in self._facts()]

    def close(self) -> None:
        """End the processes, and the session if it was started here. A second call does nothing."""
        with self._lock:
            actors, self._actors = self._actors, []
            if not self._alive():
                return
            for actor in actors:
                with suppress(self._ray.exceptions.RayError):  # one that is gone already
                    self._ray.kill(actor, no_restart=True)
            if self._started:
                self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _alive(self) -> bool:
        return bool(self._ray.is_initialized() and _session_of(self._ray) == self._session)

    def _check_open(self) -> None:
        if not self._actors or not self._alive():
            raise ValueError(
                "shards: expected open ones, got closed ones or an ended Ray session; open them "
                "anew"
            )

    def _facts(self) -> list[Facts]:
        every = range(len(self._names))
        facts: list[Facts] = self._answers({shard: ("facts",) for shard in every})
        return facts

    def _ids_of(self, shard: int) -> np.ndarray:
        ids: np.ndarray = self._answers({shard: ("ids", self._fingerprints[shard])})[0]
        return ids

    def _ask(self, queries: np.ndarray, calls: Mapping[int, Call]) -> list[tuple[Any, ...]]:
        rows = arrays.to_host(queries)
        with self._lock:
            self._check_open()  # or Ray would start a session to put something into
            shared = self._shared(rows)
            asked: dict[int, tuple[Any, ...]] = {}
            ids = None
            for shard, call in calls.items():
                part = None if call.filter is None else arrays.to_host(call.filter)
                if part is not None and part.dtype != np.bool_:
                    ids = self._shared(part) if ids is None else ids
                    part = None
                fingerprint = self._fingerprints[shard]
                asked[shard] = ("search", fingerprint, shared, ids, call._replace(filter=part))
        answers = self._answers(asked)
        # What Ray gives is read-only, and what one shard answers is the result.
        return (
            [tuple(map(np.array, answer)) for answer in answers] if len(answers) == 1 else answers
        )

    def _shared(self, array: np.ndarray) -> Any:
        """An argument for all shards: put once where they can get it, or with the calls."""
        return array if array.nbytes <= INLINE_BYTES else self._ray.put(array)

    def _answers(self, asked: Mapping[int, tuple[Any, ...]]) -> list[Any]:
        """What shards answer to (method, arguments...), in order; all are asked at once."""
        deadline = time.monotonic() + self._timeout
        with self._lock:
            self._check_open()
            pending = {
                shard: getattr(self._actors[shard], method).remote(*arguments)
                for shard, (method, *arguments) in asked.items()
            }
        try:
            return [self._answer(shard, ref, deadline) for shard, ref in pending.items()]
        except BaseException:
            with self._lock:
                self._check_open()  # closed meanwhile, which is why there is no answer
                for ref in pending.values():  # what still waits in a queue
                    self._ray.cancel(ref)
            raise

    def _room(self) -> str:
        """What is free in the session, of what it has."""
        try:
            free, there = self._ray.available_resources(), self._ray.cluster_resources()
        except Exception:  # asked while something is wrong already
            return "it does not say what is free"
        return ", ".join(
            f"{free.get(kind, 0):g} of {there.get(kind, 0):g} {kind}s are free"
            for kind in ("CPU", "GPU")
            if there.get(kind)
        )

    def _answer(self, shard: int, ref: Any, deadline: float) -> Any:
        errors, name = self._ray.exceptions, self._names[shard]
        try:
            answer = self._ray.get(ref, timeout=max(0.0, deadline - time.monotonic()))
        except errors.GetTimeoutError:
            problem = (
                f"expected an answer within {self._timeout:g} s, got none; raise timeout, ask for "
                "fewer queries at once, or see whether Ray has room for the process: "
                f"{self._room()}"
            )
        except errors.RayActorError:  # Ray does not always know which of the two it is
            problem = (
                f"expected an answer, got none in {self._retries + 1} tries from a process that "
                "died or cannot be reached; see its machine's memory and Ray's logs, and ask again"
            )
        except errors.RayError as error:
            found = type(getattr(error, "cause", error)).__name__
            problem = f"expected an answer, got {found}; see Ray's logs"
        else:
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise ShardError(f"{name}: {problem}") from None


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            f"ray: expected Ray for RayShards, got none ({error}); install hamming-kd[ray]"
        ) from None
    return ray


def _join_session(ray: Any, needed: Mapping[str, float], n_shards: int) -> bool:
    """Start a session on this machine if there is none; whether it was started."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    there = ray.cluster_resources()
    for kind, each in needed.items():
        if each * n_shards > there.get(kind, 0.0):
            ray.shutdown()
            raise ValueError(
                f"num_{kind.lower()}s: expected at most {there.get(kind, 0.0):g} for all "
                f"{n_shards} shards on this machine, got {each:g} each; lower it, or call "
                "ray.init for a larger cluster first"
            )
    return True


def _session_of(ray: Any) -> tuple[str, str]:
    """What tells this session, and this process's part in it, from others."""
    context = ray.get_runtime_context()
    return str(context.get_node_id()), str(context.get_job_id())


def _files(paths: Any) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Sequence):
        raise TypeError(
            f"paths: expected a list of files, got {type(paths).__name__}; pass one file per shard"
        )
    if not paths:
        raise ValueError("paths: expected at least one file, got none; pass one per shard")
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"paths: expected file names, got {path!r}; pass strings or paths")
    return [index_checks.file_path(path, "paths").absolute() for path in paths]


def _number(name: str, value: Any) -> float:
    """A finite number, not negative."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}; give one")
    if not 0 <= value <= MOST:  # type: ignore[operator]
        raise ValueError(f"{name}: expected 0..{MOST:,.0f}, got {value!r}; give one of these")
    return float(value)


def _share(name: str, value: Any) -> float:
    """What Ray reserves: a part of one, or a whole number."""
    number = _number(name, value)
    if 0 < number < 1e-4:
        raise ValueError(f"{name}: expected 0 or at least 0.0001, got {value!r}; Ray knows no less")
    if number > 1 and number != int(number):
        raise ValueError(
            f"{name}: expected a whole number beyond 1, got {value!r}; Ray shares only single ones"
        )
    return number
