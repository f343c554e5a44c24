# SPDX-License-Identifier: Apache-2.0
"""Steps that are recorded once, and then run without the program."""

from pyro_reparam_ext.infer.compiled.recording import CaptureWarning
from pyro_reparam_ext.infer.compiled.svi import CompiledSVI

__all__ = ["CaptureWarning", "CompiledSVI"]
