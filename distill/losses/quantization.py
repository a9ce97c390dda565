"""What makes continuous codes binary, and their bits balanced."""

import torch
from torch import Tensor


def sign(codes: Tensor) -> Tensor:
    """Return 1 where a code is above 0 and else -1, the rule of `hamming.pack`; sign of 0 is -1."""
    return torch.where(codes > 0, 1.0, -1.0).to(codes.dtype)


def quantization(codes: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of continuous codes to binary ones: ||B - H||_F^2 / (n n_bits).

    Args:
        codes: (n, n_bits) H.
        target: (n, n_bits) B in {-1, +1}; no gradient flows into it.

    Returns:
        scalar.
    """
    return (target.detach() - codes).square().mean()


def shared_quantization(a: Tensor, b: Tensor) -> Tensor:
    """Quantisation of a pair of modalities towards one code: B = sign(A + B').

    ( ||B - A||_F^2 + ||B - B'||_F^2 ) / (2 n n_bits)

    Args:
        a: (n, n_bits) codes of one modality.
        b: (n, n_bits) codes of the other, same items.

    Returns:
        scalar.
    """
    target = sign(a + b)
    return (quantization(a, target) + quantization(b, target)) / 2


def balance(codes: Tensor) -> Tensor:
    """How far bits are from being on half of the time: ||mean_i H_i||^2 / n_bits.

    Args:
        codes: (n, n_bits) H.

    Returns:
        scalar.
    """
    return codes.mean(dim=0).square().mean()
