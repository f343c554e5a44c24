# SPDX-License-Identifier: Apache-2.0
r"""Gradients of expectations for Pyro: :math:`\nabla_\theta \mathrm{E}_\theta[f(z)]`.

* ``distributions``: what is sampled, with an exact path :math:`z = g_\theta(\epsilon)`.
* ``gradients``: how the gradient is estimated at one sample site.
* ``infer``: where each estimator applies, and the losses.
* ``testing``: the mathematical laws, for distributions of your own.
"""

from pyro_reparam_ext import distributions, gradients, infer
from pyro_reparam_ext.infer import (
    CompiledSVI,
    TraceIW_ELBO,
    TraceSwitch_ELBO,
    config_estimators,
    estimators,
)

__all__ = [
    "CompiledSVI",
    "TraceIW_ELBO",
    "TraceSwitch_ELBO",
    "config_estimators",
    "distributions",
    "estimators",
    "gradients",
    "infer",
]

__version__ = "0.1.0.dev0"
