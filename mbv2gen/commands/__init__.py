# SPDX-License-Identifier: Apache-2.0
"""Commands: the command line, thin over the functions that do the work."""
