# SPDX-License-Identifier: Apache-2.0
"""Amalgamation: a network's headers as one .h, its C files as one .c. The assembly stays a file of its own."""

from __future__ import annotations

import re
from collections import Counter

from mbv2gen.errors import Mbv2genError
from mbv2gen.packages.contents import Contents

_INCLUDE = re.compile(r'^#include "([^"]+)"\n', re.MULTILINE)
_DEFINE = re.compile(r"^#define (\w+)", re.MULTILINE)
_STATIC = re.compile(r"^(?:\w+ )?static (?:const )?[\w ]*?[ *](\w+)[\[(]", re.MULTILINE)
_STRUCT = re.compile(r"^typedef struct (\w+) {", re.MULTILINE)
_ENUM = re.compile(r"^enum {([^}]*)}", re.MULTILINE)

_HEAD = """\
#include "{name}.h"

/* Inline functions of headers, not all of which are called, stand in a source here. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunused-function"
#endif
"""


def amalgamate(packed: Contents) -> Contents:
    """NAME.h, NAME.c and, for cores that have it, the assembly.

    Headers stand where they are first included. Macros of a source end with its text; names of its own that another
    source has too get the source's name before them, by #define around it. Mbv2genError for several networks.
    """
    if len(packed.networks) != 1:
        raise Mbv2genError("--as single-file: takes one network; packages of other kinds share kernels")
    texts = {name: data.decode() for name, data in packed.files}
    inlined: set[str] = set()
    public = [name for name in (f"{packed.networks[0].name}.h", "mbv2_pixels.h") if name in texts]
    header = "\n".join(_inline(name, texts, inlined) for name in public)
    body = [_HEAD.format(name=packed.name)]
    sources = [name for name in packed.sources if name.endswith(".c")]
    counts = Counter(name for source in sources for name in _names(texts[source]))
    shared = {name for name, count in counts.items() if count > 1}
    for source in sources:
        included = "".join(_inline(name, texts, inlined) for name in _own(source, texts) if name not in inlined)
        body.append(
            f"\n{included}\n/* ---- {source} ---- */\n\n{_private(source, _own_text(texts[source], texts), shared)}"
        )
    files = {f"{packed.name}.h": header, f"{packed.name}.c": "".join(body)}
    files |= {name: _inline(name, texts, set()) for name in packed.sources if name.endswith(".S")}
    return Contents(packed.name, packed.networks, tuple(sorted((name, files[name].encode()) for name in files)))


def _own(file: str, texts: dict[str, str]) -> list[str]:
    """Which of the files in ``texts`` a file includes."""
    return [name for name in _INCLUDE.findall(texts[file]) if name in texts]


def _own_text(text: str, texts: dict[str, str]) -> str:
    """``text`` without the lines that include files of ``texts``."""
    return _INCLUDE.sub(lambda found: "" if found[1] in texts else found[0], text)


def _inline(file: str, texts: dict[str, str], inlined: set[str]) -> str:
    """The text of ``file`` with the files it includes in their places, but for those in ``inlined``, which grows."""
    inlined.add(file)

    def held(found: re.Match[str]) -> str:
        included = found[1]
        if included not in texts:
            return found[0]
        return "" if included in inlined else _inline(included, texts, inlined)

    return _INCLUDE.sub(held, texts[file])


def _private(source: str, text: str, shared: set[str]) -> str:
    names = [name for name in _names(text) if name in shared]
    before = "".join(f"#define {name} {source.removesuffix('.c')}_{name}\n" for name in names)
    after = "".join(f"#undef {name}\n" for name in (*names, *dict.fromkeys(_DEFINE.findall(text))))
    return f"{before}{text}{after}"


def _names(text: str) -> tuple[str, ...]:
    """What a source calls its own: static functions and tables, structs, members of enumerations."""
    constants = (word.split("=")[0].strip() for members in _ENUM.findall(text) for word in members.split(","))
    return tuple(dict.fromkeys((*_STATIC.findall(text), *_STRUCT.findall(text), *constants)))
