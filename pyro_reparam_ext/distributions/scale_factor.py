# SPDX-License-Identifier: Apache-2.0
"""A scale matrix, given in one of several ways, as its Cholesky factor."""

import torch
from torch import Tensor
from torch.distributions import Distribution


def scale_factor(
    owner: str,
    validate_args: bool | None,
    *,
    scale_tril: Tensor | None,
    precision_matrix: Tensor | None = None,
    **matrices: Tensor | None,
) -> Tensor:
    """The Cholesky factor of a scale matrix, of which exactly one form is given.

    Args:
        owner: The class that asks, for errors.
        validate_args: As in torch.
        scale_tril: The factor itself.
        precision_matrix: The inverse of the matrix.
        matrices: The matrix, by the name that the class has for it.

    Raises:
        ValueError: none or several are given, or what is given is not square, or (with
            validation on) not symmetric and positive-definite.
    """
    forms = {
        **matrices,
        "precision_matrix": precision_matrix,
        "scale_tril": scale_tril,
    }
    given = {n: m for n, m in forms.items() if m is not None}
    if len(given) != 1:
        raise ValueError(
            f"{owner}: expected exactly one form of the scale matrix; found "
            f"{sorted(given) or 'none'}. Give scale_tril alone if you have it."
        )
    ((name, matrix),) = given.items()
    if (
        not isinstance(matrix, Tensor)
        or matrix.dim() < 2
        or matrix.shape[-1] != (matrix.shape[-2])
    ):
        found = tuple(matrix.shape) if isinstance(matrix, Tensor) else matrix
        raise ValueError(
            f"{owner}: {name} must be a square matrix, or a batch of them; found "
            f"{found}. Use torch.eye(p) for independent elements."
        )
    if name == "scale_tril":
        return matrix
    if name == "precision_matrix":
        factor, info = torch.linalg.cholesky_ex(matrix.flip(-2, -1))
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        factor = torch.linalg.solve_triangular(factor.flip(-2, -1).mT, eye, upper=False)
    else:
        factor, info = torch.linalg.cholesky_ex(matrix)
    if Distribution._validate_args if validate_args is None else validate_args:
        away = (matrix - matrix.mT).abs() > 1e-6 + 1e-5 * matrix.abs()
        _require_positive_definite(owner, name, (info != 0) | away.any(-1).any(-1))
    return factor


def _require_positive_definite(owner: str, name: str, wrong: Tensor) -> None:
    try:
        definite = not bool(wrong.any())
    except RuntimeError:  # under vmap or capture: no value to look at
        return
    if not definite:
        raise ValueError(
            f"{owner}: {name} must be positive-definite; found "
            f"{int(wrong.sum())} of {wrong.numel()} matrices that are not, or not "
            "symmetric. Add its transpose, or a small multiple of the identity."
        )


def require_degrees(owner: str, df: Tensor, p: int) -> None:
    """Raise unless there are more than p - 1 degrees of freedom."""
    try:
        enough = bool((df > p - 1).all())
    except RuntimeError:  # under vmap or capture: no value to look at
        return
    if not enough:
        raise ValueError(
            f"{owner}: df must be greater than p - 1 = {p - 1} for matrices of {p} "
            f"rows; found {df[~(df > p - 1)][0].item()}. Use a larger df."
        )
