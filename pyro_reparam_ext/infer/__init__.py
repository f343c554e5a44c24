# SPDX-License-Identifier: Apache-2.0
"""Where each estimator applies, and the losses that use it."""

from pyro_reparam_ext.infer.compiled import CaptureWarning, CompiledSVI
from pyro_reparam_ext.infer.elbo import SwitchELBOModule, TraceSwitch_ELBO
from pyro_reparam_ext.infer.handlers import config_estimators, estimators
from pyro_reparam_ext.infer.iw_elbo import TraceIW_ELBO
from pyro_reparam_ext.infer.state import EstimatorState

__all__ = [
    "CaptureWarning",
    "CompiledSVI",
    "EstimatorState",
    "SwitchELBOModule",
    "TraceIW_ELBO",
    "TraceSwitch_ELBO",
    "config_estimators",
    "estimators",
]
