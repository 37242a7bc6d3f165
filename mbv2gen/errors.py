# SPDX-License-Identifier: Apache-2.0
"""The two ways a command ends badly: a mistake of the user's (exit code 2), a check that failed (exit code 1)."""


class Mbv2genError(Exception):
    """Bad input or usage. The message is one line: file, node or option, what is wrong, what to do."""

    exit_code = 2


class CheckFailed(Mbv2genError):
    """Something that had to be equal, or to fit, is not. The message names the first place."""

    exit_code = 1
