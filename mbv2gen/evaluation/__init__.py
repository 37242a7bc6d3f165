# SPDX-License-Identifier: Apache-2.0
"""Evaluation: the float network, the int8 one and its C on the same pictures, in as many processes as pay."""
