# SPDX-License-Identifier: Apache-2.0
"""Packages: compiled networks laid out as projects, libraries and modules of other build systems."""
