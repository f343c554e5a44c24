# SPDX-License-Identifier: Apache-2.0
r"""The laws every distribution obeys, to run over your own.

Example:
    >>> from pyro.distributions import Gumbel
    >>> points = {"unit": {"loc": 0.0, "scale": 1.0}}
    >>> case = DistributionCase(name="Gumbel", make=Gumbel, points=points)
    >>> for check in distribution_laws(case, only=("normalized", "pathwise")):
    ...     check()
    ...     print(check.id)
    Gumbel-unit-float64-normalized
    Gumbel-unit-float64-pathwise

``check_distribution(case)`` runs all of them. What each law says is the docstring of
its function, in the modules of this package whose names end in ``_laws``.
"""

from collections.abc import Collection

from pyro_reparam_ext.testing import (
    density_laws,
    edge_laws,
    event_laws,
    gradient_laws,
    program_laws,
    sampling_laws,
    shape_laws,
)
from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.law import Check, Law

DISTRIBUTION_LAWS: tuple[Law, ...] = (
    *shape_laws.LAWS,
    *sampling_laws.LAWS,
    *density_laws.LAWS,
    *event_laws.LAWS,
    *gradient_laws.LAWS,
    *edge_laws.LAWS,
    *program_laws.LAWS,
)


def distribution_laws(
    case: DistributionCase, only: Collection[str] | None = None
) -> list[Check]:
    """The laws that apply to a case, at each of its points, in each precision.

    Args:
        case: What to check, and where.
        only: Names of laws; all by default.

    Raises:
        ValueError: ``only`` has a name that no law has.
    """
    names = {law.name for law in DISTRIBUTION_LAWS}
    unknown = set(only or ()) - names
    if unknown:
        raise ValueError(
            f"distribution_laws: expected names of laws in only; found "
            f"{sorted(unknown)}. The laws are {sorted(names)}."
        )
    return [
        Check(law, case, point, dtype)
        for point in case.points
        for law in DISTRIBUTION_LAWS
        if (only is None or law.name in only) and law.applies(case, point)
        for dtype in law.dtypes
    ]


def check_distribution(
    case: DistributionCase, only: Collection[str] | None = None
) -> None:
    """Check every law that applies to a case; the first broken one is raised.

    Args:
        case: What to check, and where.
        only: Names of laws; all by default.

    Raises:
        AssertionError: a law is broken; the message names law, point and precision,
            and what was found.
    """
    for check in distribution_laws(case, only):
        try:
            check()
        except Exception as error:
            says = " ".join((check.law.statement.__doc__ or "").split())
            raise AssertionError(
                f"{case.name} breaks the law {check.law.name} at point "
                f"{check.point!r} in {check.dtype}: {error or type(error).__name__}\n"
                f"The law: {says}"
            ) from error


__all__ = [
    "DISTRIBUTION_LAWS",
    "Check",
    "DistributionCase",
    "Law",
    "check_distribution",
    "distribution_laws",
]
