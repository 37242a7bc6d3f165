"""Packages: compiled networks laid out as projects, libraries and modules of other build systems."""
