# SPDX-License-Identifier: Apache-2.0
"""Hardware: boards, compilers and emulators; programs built of generated C, run, and read back."""
