# SPDX-License-Identifier: Apache-2.0
"""Quantization: from a float Network and pictures to the QuantizedNetwork, the proof of its bounds, its files."""
