# SPDX-License-Identifier: Apache-2.0
"""What stands in the documents: commands, fenced code and links, with the lines they begin at."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^ {4}(?:\$ )?((?:mbv2gen|python|\./|qemu-)\S* (?:.*\\\n)*.*)$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(mbv2gen [^`]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
EXIT_CODE = re.compile(r"#.*exit code (\d+)")


@dataclass(frozen=True)
class Code:
    """Fenced code."""

    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command of an indented block, continued lines joined, and the exit code that a comment behind it states."""

    line: int
    words: tuple[str, ...]
    exit_code: int = 0

    def __str__(self) -> str:
        return f"line {self.line}: {shlex.join(self.words)}"


def documents() -> list[Path]:
    """All that people read: at the top, in docs/ and beside the examples."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])


def text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def fenced(document: Path, language: str) -> list[Code]:
    whole = text(document)
    found = [Code(_line(whole, m.start()), m[1], m[2]) for m in FENCE.finditer(whole)]
    return [code for code in found if code.language == language]


def commands(document: Path, program: str = "mbv2gen") -> list[Command]:
    """The commands of a program in the order of the document."""
    whole = FENCE.sub(lambda m: "\n" * m[0].count("\n"), text(document))
    found = []
    for match in COMMAND.finditer(whole):
        line = match[1].replace("\\\n", " ")
        code = EXIT_CODE.search(line)
        words = shlex.split(line, comments=True)
        if words[0] == program:
            found.append(Command(_line(whole, match.start()), tuple(words), int(code[1]) if code else 0))
    return found


def inline_commands(document: Path) -> list[Command]:
    """Commands named in running text; often a pattern (`mbv2gen verify OUT`), so that they cannot be run."""
    whole = FENCE.sub(lambda m: "\n" * m[0].count("\n"), text(document))
    return [
        Command(_line(whole, match.start()), tuple(re.sub(r"[\[\]]", " ", match[1].replace("\n", " ")).split()))
        for match in INLINE.finditer(whole)
    ]


def links(document: Path) -> list[tuple[int, str]]:
    """Targets of links that stay in the repository."""
    whole = FENCE.sub(lambda m: "\n" * m[0].count("\n"), text(document))
    found = [(_line(whole, match.start()), match[1]) for match in LINK.finditer(whole)]
    return [(line, target) for line, target in found if not re.match(r"[a-z]+:", target)]


def anchors(document: Path) -> set[str]:
    """What a heading is called in a link."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _line(whole: str, position: int) -> int:
    return whole.count("\n", 0, position) + 1
