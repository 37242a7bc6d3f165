# SPDX-License-Identifier: Apache-2.0
"""Pixels: pictures and arrays as the user has them, and how they become the network's input."""
