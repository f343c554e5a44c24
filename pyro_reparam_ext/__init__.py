# SPDX-License-Identifier: Apache-2.0
"""Gradients of expectations for Pyro."""

__version__ = "0.1.0.dev0"
