# SPDX-License-Identifier: Apache-2.0
"""The dsp kernel family (Cortex-M4, M7, M33): its bodies as assembly, streams, solvers, contracts and proofs."""
