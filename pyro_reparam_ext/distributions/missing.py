# SPDX-License-Identifier: Apache-2.0
"""What a distribution lacks, in words: torch says nothing where it has no formula."""

from typing import Any, NoReturn

from torch import Tensor
from torch.distributions import Distribution

_Base: Any = Distribution  # Pyro's subclasses have no types to agree with


class SaysWhatIsMissing(_Base):
    """Raises a sentence for each optional method that a subclass leaves out."""

    def cdf(self, value: Tensor) -> Tensor:
        """Not for every class."""
        self._lack("cdf", "Count the draws below a value instead.")

    def icdf(self, value: Tensor) -> Tensor:
        """Not for every class."""
        self._lack("icdf", "Take a quantile of draws instead.")

    def entropy(self) -> Tensor:
        """Not for every class."""
        self._lack("entropy", "Average -log_prob over draws instead.")

    @property
    def mean(self) -> Tensor:
        """Not for every class."""
        self._lack("mean", "Average over draws instead.")

    @property
    def variance(self) -> Tensor:
        """Not for every class."""
        self._lack("variance", "Take that of draws instead.")

    @property
    def mode(self) -> Tensor:
        """Not for every class."""
        self._lack("mode", "Maximize log_prob instead.")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """For discrete distributions only."""
        raise NotImplementedError(
            f"{type(self).__name__}.enumerate_support: expected a discrete "
            "distribution; found a continuous one. Draw from it, or enumerate other "
            "sites."
        )

    def _lack(self, what: str, instead: str) -> NoReturn:
        found = "for this family"
        if what in ("cdf", "icdf") and self.event_shape:
            found = f"for events of shape {tuple(self.event_shape)}, only for scalars"
        raise NotImplementedError(
            f"{type(self).__name__}.{what}: there is no formula {found}. {instead}"
        )
