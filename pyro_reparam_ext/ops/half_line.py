# SPDX-License-Identifier: Apache-2.0
"""Smooth functions on the positive half-line as polynomials in a fraction."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


class HalfLinePolynomial:
    r"""A function of :math:`x \ge 0` as a polynomial in :math:`(x - c)/(x + c)`.

    By interpolation in Chebyshev's points. The function must be smooth and have a limit
    at infinity; then some ten to forty multiplications replace a special function. For
    use where no derivative is wanted.

    Args:
        function: Of a number :math:`x > 0`.
        center: :math:`c`, which becomes the middle.
        degrees: Of the polynomial, by dtype; that of float64 for others.

    Example:
        >>> squash = HalfLinePolynomial(lambda x: 1 / (1 + x), 1.0, {torch.float64: 1})
        >>> squash(torch.tensor([0.0, 3.0]).double())
        tensor([1.0000, 0.2500], dtype=torch.float64)
    """

    def __init__(
        self,
        function: Callable[[float], float],
        center: float,
        degrees: dict[torch.dtype, int],
    ) -> None:
        self.function, self.center, self.degrees = function, center, degrees
        self.known: dict[int, tuple[float, ...]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The function, to the accuracy of the interpolation."""
        degree = self.degrees.get(x.dtype, self.degrees[torch.float64])
        if degree not in self.known:
            self.known[degree] = self._coefficients(degree)
        y = 1 - 2 * self.center / (x + self.center)
        first, second, *others = y.new_tensor(self.known[degree]).unbind()
        total = first * y + second
        for coefficient in others:
            total = torch.addcmul(coefficient, total, y)
        return total

    def _coefficients(self, degree: int) -> tuple[float, ...]:
        """Highest power first."""
        n = degree + 1
        angles = [math.pi * (j + 0.5) / n for j in range(n)]
        fractions = [math.cos(angle) for angle in angles]
        values = [self.function(self.center * (1 + y) / (1 - y)) for y in fractions]
        powers = [0.0] * n
        before, polynomial = [0.0] * n, [1.0] + [0.0] * degree  # T_k, lowest first
        for k in range(n):
            terms = (f * math.cos(k * t) for f, t in zip(values, angles, strict=True))
            factor = 2 if k else 1
            weight = factor * math.fsum(terms) / n
            powers = [p + weight * c for p, c in zip(powers, polynomial, strict=True)]
            shifted = [0.0, *polynomial[:-1]]
            following = [factor * s - b for s, b in zip(shifted, before, strict=True)]
            before, polynomial = polynomial, following
        return tuple(reversed(powers))
