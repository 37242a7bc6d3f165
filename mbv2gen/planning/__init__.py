# SPDX-License-Identifier: Apache-2.0
"""Planning: what kernels promise, how rows live, and where everything stands in the arena."""
