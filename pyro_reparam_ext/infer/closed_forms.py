# SPDX-License-Identifier: Apache-2.0
"""Where a site's own terms have a closed form, and which."""

from typing import Any

from pyro.distributions.util import scale_and_mask
from torch import Tensor

from pyro_reparam_ext.gradients import Analytic
from pyro_reparam_ext.gradients.analytic import closed_form_entropy, closed_form_kl
from pyro_reparam_ext.infer.costs import plates_of
from pyro_reparam_ext.infer.holds import holds
from pyro_reparam_ext.infer.site import estimator_of, plain


def closed_form(name: str, model: Any, guide: Any) -> tuple[str, Tensor | None]:
    r"""What stands in for :math:`\log p - \log q` of a site: a word, and the tensor.

    ``"kl"`` and :math:`-\mathrm{KL}(q\,\|\,p)`; or ``"entropy"`` and that of
    :math:`q`, which stands in for :math:`-\log q` alone, with the reason why it is not
    the divergence; or ``"sampled"`` with the reason, and None. Scaled and masked.
    """
    site = guide.nodes[name]
    q = plain(site["fn"])
    reason = _why_not_kl(name, model, guide)
    if reason is None:
        kl = closed_form_kl(q, plain(model.nodes[name]["fn"]))
        if kl is not None:
            return "kl", -scale_and_mask(kl, site["scale"], site["mask"])
        reason = "no divergence between the two distributions is registered"
    entropy = closed_form_entropy(q)
    if entropy is not None:
        scaled = scale_and_mask(entropy, site["scale"], site["mask"])
        return f"entropy: {reason}", scaled
    return f"sampled: {reason}, nor has the guide's an entropy", None


def is_analytic(site: Any) -> bool:
    """Whether a site of the guide asks for a closed form."""
    return isinstance(estimator_of(site["fn"]), Analytic)


def _why_not_kl(name: str, model: Any, guide: Any) -> str | None:
    q, p = guide.nodes[name], model.nodes.get(name)
    if p is None or p["type"] != "sample" or p["is_observed"]:
        return "the model has no such site"
    if plates_of(q) != plates_of(p):
        return "model and guide have it in different plates"
    if not (_same(q["scale"], p["scale"]) and _same(q["mask"], p["mask"])):
        return "model and guide scale or mask it differently"
    # Given what the guide drew before, p must be fixed: nothing that p may depend on
    # may itself depend on the draw.
    drawn_before = set(_before(name, guide))
    for other in _before(name, model):
        if other in guide.nodes and other not in drawn_before:
            return f"the model draws {other!r} before it, the guide after it"
    return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or (one.shape == other.shape and holds(one == other))
    return bool(one is other or one == other)


def _before(name: str, trace: Any) -> list[str]:
    """The draws before a site."""
    names = [n for n, site in trace.nodes.items() if site["type"] == "sample"]
    return names[: names.index(name)]
