# SPDX-License-Identifier: Apache-2.0
"""Which estimator applies at which site."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pyro.distributions import Delta

from pyro_reparam_ext.gradients import GradientEstimator, name_of, resolve
from pyro_reparam_ext.gradients.base import innermost

Choice = str | GradientEstimator | None
SiteChoices = Mapping[str, Choice | Callable[[Any], Choice]]


class Policy:
    """From a site to its estimator, by name and then by default.

    An exact name goes before a glob, and an earlier glob before a later one. Point
    masses (``Delta``) have no gradient to estimate and are always left alone.

    Args:
        default: Estimator of the sites that no key names; None leaves them as their
            distribution says.
        sites: From site names or globs to an estimator, its name, None, or a function
            of the site's message that returns one of these.
        owner: What begins an error message.
        allow_biased: Whether the default may be a biased estimator. At a site that is
            named it always may.
    """

    def __init__(
        self,
        default: Choice,
        sites: SiteChoices | None,
        owner: str,
        allow_biased: bool = False,
    ) -> None:
        self.owner = owner
        self.default = None if default is None else resolve(default, owner)
        if self.default and not (self.default.unbiased or allow_biased):
            name = name_of(self.default)
            raise ValueError(
                f"{owner}: {name} is biased, and so not for every site. Name the "
                f"sites it is meant for, sites={{'c': {name!r}}}, or say "
                "allow_biased=True."
            )
        self.sites: dict[str, Any] = {}
        if sites is not None and not isinstance(sites, Mapping):
            raise TypeError(
                f"{owner}: sites must map site names to estimators; found {sites!r}. "
                "For all sites, give the estimator itself."
            )
        for key, choice in (sites or {}).items():
            is_function = callable(choice) and not isinstance(choice, type)
            if isinstance(choice, str | GradientEstimator) or not (
                choice is None or is_function
            ):
                choice = resolve(choice, f"{owner}: sites[{key!r}]")  # type: ignore[arg-type]
            self.sites[key] = choice
        self._matched: set[str] = set()
        self._seen: dict[str, None] = {}  # an ordered set
        self._points: dict[str, None] = {}

    def by_name(self, msg: Any) -> tuple[bool, GradientEstimator | None]:
        """Whether a key names the site, and the estimator it gives."""
        if not self.sites:
            return False, None
        names = _names(msg)
        if isinstance(innermost(msg["fn"]), Delta):
            self._points[msg["name"]] = None
            return False, None
        self._seen[names[0]] = None
        found = False
        choice: Any = None
        keys = sorted(self.sites, key=lambda key: key not in names)  # stable
        for key in keys:
            if key in names or any(fnmatchcase(name, key) for name in names):
                self._matched.add(key)
                if not found:
                    found, choice = True, self.sites[key]
        if found and choice is not None and not isinstance(choice, GradientEstimator):
            choice = choice(msg)
            if choice is not None:
                choice = resolve(choice, f"{self.owner}: site {msg['name']!r}")
        return found, choice

    def by_default(self, msg: Any) -> GradientEstimator | None:
        """The default estimator, for sites that have one at all."""
        if self.default is None or isinstance(innermost(msg["fn"]), Delta):
            return None
        return self.default

    def start(self) -> None:
        """Begin a run of the guide."""
        self._seen, self._points = {}, {}

    @property
    def has_seen_sites(self) -> bool:
        """Whether this run drew anything."""
        return bool(self._seen or self._points)

    def check_all_matched(self) -> None:
        """Raise if a key has matched no site in this run or an earlier one."""
        missing = [key for key in self.sites if key not in self._matched]
        if not missing:
            return
        key = missing[0]
        guide_sites = ", ".join(map(repr, self._seen)) or "none"
        if any(fnmatchcase(name, key) for name in self._points):
            raise ValueError(
                f"{self.owner}: sites names {key!r}, which the guide computes from "
                f"another site (its distribution there is Delta). Name the site that "
                f"is drawn instead. Guide sites: {guide_sites}."
            )
        raise ValueError(
            f"{self.owner}: sites names {key!r}, which the guide does not have. "
            f"Guide sites: {guide_sites}. (For a site that only some runs draw, use "
            "infer={'estimator': ...} at the site.)"
        )


def _names(msg: Any) -> list[str]:
    """The names a site goes by.

    ``AutoNormal`` draws ``z`` as the auxiliary site ``z_unconstrained``; users know it
    as ``z``.
    """
    name = msg["name"]
    if msg["infer"].get("is_auxiliary") and name.endswith("_unconstrained"):
        return [name.removesuffix("_unconstrained"), name]
    return [name]
