# SPDX-License-Identifier: Apache-2.0
"""The program: ``mbv2gen`` and ``python -m mbv2gen``.

OpenBLAS reads its number of threads when NumPy is imported. The products here are small: with one thread calibration
takes a third of the processor time that two take (unless the user has said how many).
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command line."""
    from mbv2gen.commands import cli  # noqa: PLC0415 - only now may NumPy be imported

    cli.main()


if __name__ == "__main__":
    main()
