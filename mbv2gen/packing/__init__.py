# SPDX-License-Identifier: Apache-2.0
"""Packing: weights and parameters as tables that kernels read, and the check that decodes them again."""
