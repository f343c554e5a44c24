# SPDX-License-Identifier: Apache-2.0
"""Special functions and stable primitives, each with its gradient."""

from pyro_reparam_ext.ops.log1mexp import log1mexp

__all__ = ["log1mexp"]
