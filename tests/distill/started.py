"""A run folder whose training never trained."""

from distill.checkpoint import Run
from distill.config import TrainConfig
from distill.run_folder import training


def start_run(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Run:
    """Make the run folder, or take up an existing one."""
    with training(config, resume=resume, overwrite=overwrite) as run:
        return run
