"""``python -m mbv2gen``."""

from mbv2gen.cli import main

main()
