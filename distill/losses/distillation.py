"""What a student learns from a teacher's codes; BRCD's terms have a file of their own."""

from torch import Tensor
from torch.nn import functional

from distill.losses.brcd import bit_mask, brcd_loss

__all__ = ["bit_mask", "brcd_loss", "pair_distillation", "relation_distillation"]


def pair_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Each item's code is pulled to its teacher's: ||T - U||_F^2 / (n n_bits).

    Args:
        student: (n, n_bits) T.
        teacher: (n, n_bits) U, same items.

    Returns:
        scalar.
    """
    return functional.mse_loss(student, teacher)


def relation_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Similarities of student to teacher are kept like those within the teacher.

    1/n^2 sum_ij ( cos(T_i, U_j) - cos(U_i, U_j) )^2

    Args:
        student: (n, n_bits) T.
        teacher: (n, n_bits) U, same items.

    Returns:
        scalar.
    """
    student, teacher = functional.normalize(student, dim=1), functional.normalize(teacher, dim=1)
    return functional.mse_loss(student @ teacher.T, teacher @ teacher.T)
