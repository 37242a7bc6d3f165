# SPDX-License-Identifier: Apache-2.0
"""Identifiers: names that are safe in C symbols, comments and file names."""

from __future__ import annotations

import re

from mbv2gen.errors import Mbv2genError

_KEYWORDS = frozenset(
    (
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
        "bool",
        "class",
        "delete",
        "explicit",
        "export",
        "false",
        "friend",
        "mutable",
        "namespace",
        "new",
        "operator",
        "private",
        "protected",
        "public",
        "template",
        "this",
        "throw",
        "true",
        "try",
        "typename",
        "using",
        "virtual",
        "and",
        "or",
        "not",
        "xor",
        "main",
    )
)
MAX_IDENTIFIER = 40


def network_name(text: str) -> str:
    """A name for symbols and files from a file's stem: lower-case C identifier, made from what letters there are."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:MAX_IDENTIFIER].rstrip("_")
    if not name or name[0].isdigit() or name in _KEYWORDS or name.startswith("mbv2"):
        name = f"net_{name}"[:MAX_IDENTIFIER].rstrip("_")
    return name


def check_network_name(name: str) -> str:
    """``name`` itself; raises Mbv2genError where it cannot prefix C symbols and files."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _KEYWORDS or len(name) > MAX_IDENTIFIER:
        raise Mbv2genError(
            f"--name {name!r}: use a C identifier of lower-case letters, digits and underscores, "
            f"at most {MAX_IDENTIFIER} characters"
        )
    if name.startswith("mbv2"):
        raise Mbv2genError(f"--name {name!r}: the prefix mbv2 belongs to the shared kernels; choose another name")
    return name


def comment(text: str, limit: int = 80) -> str:
    """``text`` as it may stand in a C comment: printable ASCII, no end of comment, no trigraph, no line splice."""
    clean = re.sub(r"[^ -~]", "?", text)
    clean = re.sub(r"\?{2,}", "?", clean.replace("*/", "*|").replace("/*", "|*").replace("\\", "|"))
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
