# SPDX-License-Identifier: Apache-2.0
"""The real line, as the support of a law that is not a location-scale family.

Pyro's ``AutoReparam`` standardizes whatever has ``constraints.real`` as its support and
parameters called ``loc`` and ``scale``. Where these do not move and stretch the law,
that would be another one.
"""

from typing import Any

from torch.distributions import Transform, biject_to, constraints, transform_to

Real: Any = type(constraints.real)


# torch shows a constraint by its class without the first letter
class _RealLine(Real):
    """The real numbers."""


real_line = _RealLine()


@biject_to.register(_RealLine)  # type: ignore[untyped-decorator]
@transform_to.register(_RealLine)  # type: ignore[untyped-decorator]
def _to_real_line(constraint: Any) -> Transform:
    return biject_to(constraints.real)
