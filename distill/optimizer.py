"""What a step of the training loop does to the weights: Adam or SGD, rates, a limit on the norm."""

import math

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, Optimizer

from distill import parallel
from distill.config import OptimConfig
from distill.encoders.tuned import Tuned
from distill.methods.base import Stage

_KINDS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


def make_optimizer(stage: Stage, settings: OptimConfig) -> Optimizer:
    """The optimiser of a stage, with a group per child of its modules and one per tower."""
    groups = []
    for name, module in stage.modules.named_children():
        factor = stage.rates.get(name, 1.0)
        tower = list(module.tower.parameters()) if isinstance(module, Tuned) else []
        own = {id(parameter) for parameter in tower}
        rest = [p for p in module.parameters() if id(p) not in own]
        groups.append({"params": rest, "rate": factor})
        if tower:
            groups.append({"params": tower, "rate": factor * settings.tower_lr / settings.lr})
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return _KINDS[settings.optimizer](
        groups,
        lr=settings.lr,
        betas=(0.9, settings.beta2),
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_rate(
    optimizer: Optimizer, settings: OptimConfig, epoch: float, steps: int, epochs: int
) -> None:
    """Set the learning rates: a function of the position alone, so resuming needs no schedule.

    Args:
        optimizer: from `make_optimizer`.
        settings: rate, warm-up and decay.
        epoch: position in the stage, in epochs.
        steps: steps of an epoch.
        epochs: of the stage.
    """
    warm = settings.warmup * epochs
    if epoch < warm:
        share = min(1.0, (epoch + 1 / steps) / warm)
    elif settings.schedule == "cosine":
        left = epochs - warm
        share = (1 + math.cos(math.pi * (epoch - warm) / left)) / 2
    elif settings.schedule == "step":
        share = settings.decay ** (round(epoch * steps) // settings.decay_steps)
    else:
        share = 1.0
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * share * group["rate"]


def update(optimizer: Optimizer, settings: OptimConfig, loss: Tensor) -> None:
    """Do one step down the gradient of a loss, summed over the processes."""
    optimizer.zero_grad()
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parallel.sum_gradients(parameters)
    if settings.clip:
        clip_grad_norm_(parameters, settings.clip)
    optimizer.step()
