# SPDX-License-Identifier: Apache-2.0
"""Doctests of these pages; what the build makes here is not collected."""

collect_ignore = ["api", "conf.py", "gallery"]
