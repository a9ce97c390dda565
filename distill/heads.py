"""Small trainable heads on frozen features: hash heads and the rotated float head."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from distill.config import HeadConfig

_ROWS = 8192
HeadKind = Literal["mlp", "linear", "tanh"]


class HashHead(nn.Module):
    """Frozen features to continuous codes in (-1, 1); the sign is the code, bit = h > 0.

    Features are L2-normalised first, and for an mlp scaled by sqrt(in_dim), so that its input has
    about unit variance per dimension and one learning rate fits any tower.

    Args:
        in_dim: width of the features.
        n_bits: length of a code.
        kind: "mlp" is linear, ReLU, dropout, linear, tanh; "linear" is dropout, linear, tanh, with
            Kaiming-uniform fan-out weights and zero bias; "tanh" is linear, tanh, dropout, linear,
            half, tanh, with weights from a normal distribution of deviation 0.1, cut at two of
            them, and zero bias, on features that `standardise` z-scores in place of normalising
            them: the net of SKDCH and SCH-GAN, whose sigmoid u is (1 + h) / 2.
        hidden: width of the hidden layer of "mlp" and "tanh".
        dropout: share of units dropped in training mode.
    """

    def __init__(
        self,
        in_dim: int,
        n_bits: int,
        kind: HeadKind = "mlp",
        *,
        hidden: int = HeadConfig.hidden,
        dropout: float = HeadConfig.dropout,
    ) -> None:
        super().__init__()
        self.spec = {
            "class": "HashHead",
            "in_dim": in_dim,
            "n_bits": n_bits,
            "kind": kind,
            "hidden": hidden,
            "dropout": dropout,
        }
        self.body = _body(in_dim, n_bits, kind, hidden, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_dim) to continuous codes (B, n_bits)."""
        return self.from_hidden(self.hidden(features))

    def hidden(self, features: Tensor) -> Tensor:
        """Features (B, in_dim) to what the last layer takes (B, width)."""
        return self.body[: self._last](features)

    def from_hidden(self, hidden: Tensor) -> Tensor:
        """What `hidden` gave to continuous codes (B, n_bits)."""
        return torch.tanh(self.body[self._last :](hidden))

    @property
    def width(self) -> int:
        """Of what the last layer takes."""
        return int(self.body[self._last].in_features)

    @property
    def _last(self) -> int:
        """Place of the last linear layer."""
        return max(i for i, layer in enumerate(self.body) if isinstance(layer, nn.Linear))


class RotatedHead(nn.Module):
    """Frozen features to a float embedding, and its fixed random rotation to n_bits.

    Args:
        in_dim: width of the features.
        n_bits: length of a code.
        dim: width of the embedding.
        kind, hidden, dropout: as in `HashHead`.
    """

    rotation: Tensor

    def __init__(
        self,
        in_dim: int,
        n_bits: int,
        dim: int = 256,
        kind: HeadKind = "mlp",
        *,
        hidden: int = HeadConfig.hidden,
        dropout: float = HeadConfig.dropout,
    ) -> None:
        super().__init__()
        self.spec = {
            "class": "RotatedHead",
            "in_dim": in_dim,
            "n_bits": n_bits,
            "dim": dim,
            "kind": kind,
            "hidden": hidden,
            "dropout": dropout,
        }
        self.body = _body(in_dim, dim, kind, hidden, dropout)
        self.register_buffer("rotation", torch.zeros(dim, n_bits))

    def embed(self, features: Tensor) -> Tensor:
        """Features (B, in_dim) to L2-normalised embeddings (B, dim)."""
        return functional.normalize(self.body(features), dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_dim) to rotated embeddings (B, n_bits), whose sign is the code."""
        return self.embed(features) @ self.rotation


class LogitHead(nn.Module):
    """Frozen features to logits; the code is the logit's sign, bit = x > 0.

    Features are z-scored by the mean and deviation of the training views, which the head keeps, so
    that it encodes new features without them. "mlp": linear, ReLU, dropout, linear; "linear": one
    layer; "tanh", which no training takes any more: the same.

    Args:
        in_dim: width of the features.
        n_bits: length of a code.
        kind: see above.
        hidden: as in `HashHead`.
        dropout: as in `HashHead`, of an mlp.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        in_dim: int,
        n_bits: int,
        kind: HeadKind = "linear",
        *,
        hidden: int = HeadConfig.hidden,
        dropout: float = HeadConfig.dropout,
    ) -> None:
        super().__init__()
        self.spec = {
            "class": "LogitHead",
            "in_dim": in_dim,
            "n_bits": n_bits,
            "kind": kind,
            "hidden": hidden,
            "dropout": dropout,
        }
        self.register_buffer("mean", torch.zeros(in_dim))
        self.register_buffer("deviation", torch.ones(in_dim))
        layers = [nn.Linear(in_dim, n_bits)]
        if kind == "mlp":
            layers = [nn.Linear(in_dim, hidden), nn.ReLU(), nn.Dropout(dropout)]
            layers += [nn.Linear(hidden, n_bits)]
        self.body = nn.Sequential(*layers)

    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation from features (..., in_dim); a constant one is left unscaled."""
        _take_moments(self, features.reshape(-1, features.shape[-1]))

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., in_dim) to logits (..., n_bits)."""
        return self.body(self.z_scored(features))

    def z_scored(self, features: Tensor) -> Tensor:
        """Features (..., in_dim) in units of the training views' deviation from their mean."""
        return (features - self.mean) / self.deviation


def standardise(head: nn.Module, features: Tensor) -> None:
    """Let what is "tanh" in a head take mean and deviation of training features (n, in_dim)."""
    for module in head.modules():
        if isinstance(module, _ZScore):
            _take_moments(module, features)


def head_output(head: nn.Module, features: Tensor, *, continuous: bool = False) -> Tensor:
    """What a trained head makes of features, without gradients and in bounded memory.

    Args:
        head: one of this module, in eval mode.
        features: (n, in_dim).
        continuous: the float vectors to compare as such, instead of values for `hamming.pack`; only
            of a `RotatedHead` they differ.

    Returns:
        (n, n_bits), or (n, dim) embeddings of a `RotatedHead` when continuous.
    """
    function = head.embed if continuous and isinstance(head, RotatedHead) else head
    with torch.no_grad():
        return torch.cat([function(rows) for rows in features.split(_ROWS)])


def random_rotation(dim: int, n_bits: int) -> Tensor:
    """(dim, n_bits) with orthonormal columns (rows where n_bits > dim), from torch's generator."""
    basis, _ = torch.linalg.qr(torch.randn(max(dim, n_bits), min(dim, n_bits)))
    return basis if dim >= n_bits else basis.T.contiguous()


_CLASSES: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (HashHead, RotatedHead, LogitHead)
}


def build_heads(
    specs: Mapping[str, Mapping[str, Any]], tensors: Mapping[str, Tensor]
) -> dict[str, nn.Module]:
    """The inference heads of a saved run, in eval mode and without gradients.

    Args:
        specs: modality -> the `spec` of its head.
        tensors: "modality.parameter" -> value.
    """
    heads: dict[str, nn.Module] = {}
    for modality, spec in specs.items():
        arguments = dict(spec)
        head = _CLASSES[arguments.pop("class")](**arguments)
        prefix = f"{modality}."
        head.load_state_dict(
            {key[len(prefix) :]: t for key, t in tensors.items() if key.startswith(prefix)}
        )
        heads[modality] = head.eval().requires_grad_(False)
    return heads


class _Scale(nn.Module):
    """L2-normalisation of rows, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(features, dim=1) * self.factor


class _Times(nn.Module):
    """Multiplication by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


class _ZScore(nn.Module):
    """Features in units of their deviation from their mean; unchanged until both are taken."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation


def _take_moments(module: "LogitHead | _ZScore", rows: Tensor) -> None:
    """Set a module's mean and deviation to those of rows (n, d); a constant is left unscaled."""
    deviation, mean = torch.std_mean(rows, dim=0, correction=0)
    module.mean.copy_(mean)
    module.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))


def _body(in_dim: int, out_dim: int, kind: HeadKind, hidden: int, dropout: float) -> nn.Sequential:
    if kind == "tanh":
        layers = [nn.Linear(in_dim, hidden), nn.Linear(hidden, out_dim)]
        for layer in layers:
            nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
            nn.init.zeros_(layer.bias)
        first, last = layers
        return nn.Sequential(
            _ZScore(in_dim), first, nn.Tanh(), nn.Dropout(dropout), last, _Times(0.5)
        )
    if kind == "mlp":
        return nn.Sequential(
            _Scale(math.sqrt(in_dim)),
            nn.Linear(in_dim, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out_dim),
        )
    linear = nn.Linear(in_dim, out_dim)
    nn.init.kaiming_uniform_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    return nn.Sequential(_Scale(1.0), nn.Dropout(dropout), linear)
