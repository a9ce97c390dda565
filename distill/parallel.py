"""Data-parallel training: torchrun starts the processes, each computes a part of every batch.

Every process sees the same batches in the same order, takes its own rows of them, and gathers the
codes of all: so each has the loss of the whole batch, with all its pairs, and the gradient of it by
its own rows. Without torchrun there is one process and everything here is the identity.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from distill.progress import Advance
from distill.progress import progress_bar as _progress_bar
from distill.types import DistillError

_PATIENCE = timedelta(hours=24)
"""Process 0 may encode a whole dataset while the others wait."""
_BUCKET = 2**23
"""Numbers that are summed at a time."""

T = TypeVar("T")


@contextmanager
def processes(device: str) -> Iterator[torch.device]:
    """The processes of torchrun as a group, and the device of this one.

    A block ends in all at once. Blocks may follow or lie in one another; without torchrun there is
    nothing to start.

    Args:
        device: "cpu" or "cuda"; of several GPUs a process has the one of its local number.

    Raises:
        DistillError: there is no such GPU.
    """
    own = _device(device)
    if not dist.is_torchelastic_launched():
        yield own
        return
    if not dist.is_initialized():
        # torchrun ends the others when one process fails: they then clean up as after any failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        backend = "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield own
    except BaseException:
        atexit.unregister(dist.destroy_process_group)  # it might wait for what never comes
        raise
    dist.barrier()
    # Not here: a second group would find the addresses of the first one and wait forever.
    atexit.unregister(dist.destroy_process_group)
    atexit.register(dist.destroy_process_group)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let a process of several that gives up end with its status and no more words.

    gloo's threads would abort an interpreter that shuts down while others are still connected, and
    torchrun would report that in the place of the cause.
    """
    try:
        yield
    except SystemExit as ending:
        if not dist.is_initialized():
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ending.code if isinstance(ending.code, int) else 1)


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_rows(rows: Tensor) -> Tensor:
    """The part of a batch's row numbers (B,) that this process computes."""
    return rows.tensor_split(size())[rank()]


def gather(codes: Tensor) -> Tensor:
    """The codes of a whole batch from those of each process's own rows, with their gradient.

    All processes compute the same loss of the same gathered codes, so the gradient that arrives
    here is already that of the whole batch, and each process passes on the part of its own rows:
    nothing has to be sent. By the chain rule the gradient of a parameter is the *sum* over rows,
    hence over processes (`sum_gradients`), and not their mean, as it would be if each process had a
    loss of its own.

    Args:
        codes: (b, d), b may differ between processes by what `own_rows` makes of a batch.

    Returns:
        (B, d) in the order of the processes, which is that of the batch.
    """
    return codes if size() == 1 else _Gather.apply(codes)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up each parameter's gradient over the processes (see `gather`)."""
    if size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def on_first(work: Callable[[], T]) -> T:
    """Do work on process 0 alone and give all its result, which must be picklable.

    Where it fails there, the others end without a word: process 0 says why.
    """
    if size() == 1:
        return work()
    box: list[Any] = [None, False]
    if rank() == 0:
        try:
            box = [work(), True]
        finally:
            dist.broadcast_object_list(box)
    else:
        dist.broadcast_object_list(box)
        if not box[1]:
            sys.exit(1)
    result: T = box[0]
    return result


def in_turn(work: Callable[[], T]) -> T:
    """Do work on process 0 and then on the others, which find what it has cached.

    Where it fails on process 0, the others end as in `on_first`.
    """
    done: list[T] = []
    on_first(lambda: done.append(work()))
    return done[0] if done else work()


@contextmanager
def progress_bar(description: str, total: int, *, unit: str = "items") -> Iterator[Advance]:
    """The bar of `distill.progress` on process 0, and none on the others."""
    if rank() > 0:
        yield lambda *_, **__: None
        return
    with _progress_bar(description, total, unit=unit) as advance:
        yield advance


def draw_rows(n: int) -> Tensor:
    """Numbers 0..n-1 in the random order that process 0 draws, (n,) int64.

    The other processes are seeded here, so that each drops other units and yet the state of process
    0's generator is all that a checkpoint needs. Their seed is drawn beside the generator's own
    course: the order of the batches is the same for any number of processes.
    """
    if size() == 1:
        return torch.randperm(n)

    def draw() -> tuple[Tensor, int]:
        rows = torch.randperm(n)
        with torch.random.fork_rng(devices=[]):
            return rows, int(torch.randint(2**62, ()))

    rows, seed = on_first(draw)
    if rank() > 0:
        torch.manual_seed(seed + rank())
    return rows


class _Gather(torch.autograd.Function):
    """See `gather`."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor) -> Tensor:
        own = torch.tensor([len(codes)], device=codes.device)
        found = [torch.empty_like(own) for _ in range(size())]
        dist.all_gather(found, own)
        lengths = [int(length) for length in found]
        ctx.lengths = lengths
        padded = codes.new_zeros(max(lengths), *codes.shape[1:])
        padded[: len(codes)] = codes
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].split(ctx.lengths)[rank()]


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    number, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= found:
        raise DistillError(
            f"device: expected cpu where torch finds {found} GPUs, got {name} for process "
            f"{number}; leave it out, or start fewer processes"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    numbers = 0
    for gradient in gradients:
        bucket.append(gradient)
        numbers += gradient.numel()
        if numbers >= _BUCKET:
            yield bucket
            bucket, numbers = [], 0
    if bucket:
        yield bucket
