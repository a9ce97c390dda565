"""What is measured on a GPU, step by step; `bench/gpu.py` is the command.

First what must be right, then what is compared, and last what is only tuned: where time is short,
the end is what it costs.
"""

from . import (
    batches,
    correctness,
    facts,
    guarantees,
    kernels,
    launches,
    peers,
    sanitizers,
    small_batches,
    tuning,
    values,
    worst_cases,
)

_MEASURED = (
    correctness.STEP,
    values.STEP,
    small_batches.STEP,
    batches.STEP,
    peers.STEP,
    worst_cases.STEP,
    guarantees.STEP,
    launches.STEP,
    sanitizers.STEP,
    tuning.STEP,
)
STEPS = (facts.STEP, kernels.step(_MEASURED), *_MEASURED)
