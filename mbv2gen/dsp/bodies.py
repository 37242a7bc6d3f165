# SPDX-License-Identifier: Apache-2.0
"""The bodies of the ``dsp`` kernel family by name, and the assembly file that holds those a network uses.

templates/kernels/mbv2_dsp_bodies.h describes each body; mbv2_dsp_twins.c is the same in portable C. Of weights of
4 bits mbv2_dsp_four_bits.h and mbv2_dsp_four_bits_twins.c are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mbv2gen.dsp import tiles as dsp_tiles
from mbv2gen.dsp.assembly import CORES, source
from mbv2gen.dsp.depthwise import depthwise_columns, depthwise_rows
from mbv2gen.dsp.planes import depthwise_plane3, depthwise_plane6, depthwise_plane6_stride2
from mbv2gen.dsp.pointwise import pointwise
from mbv2gen.dsp.pointwise_sums import Pointwise
from mbv2gen.dsp.vectors import add, fully_connected, fully_connected_four_bits, mean, requantization

_PIXELS = (4, 3, 2, 1)

_POINTWISE: dict[str, Pointwise] = {
    f"pw_{kind}{pixels}{suffix}": Pointwise(output, pixels, packed, own_shifts, head, suffix.startswith("_n"))
    for kind, output, suffix, packed, own_shifts, head in (
        ("relu", "lines", "", True, False, 4),
        ("relu", "lines", "_sh", True, True, 4),
        ("relu", "lines", "_x", False, False, 4),
        ("stem", "lines", "", True, False, 2),
        ("stem", "lines", "_sh", True, True, 2),
        ("lin", "nhwc", "", True, False, 4),
        ("lin", "nhwc", "_x", False, False, 4),
        ("gap", "sums", "", True, False, 4),
        ("gap", "sums", "_sh", True, True, 4),
        ("part", "accumulators", "", True, False, 4),
        ("relu", "lines", "_n", True, False, 4),
        ("relu", "lines", "_nsh", True, True, 4),
        ("lin", "nhwc", "_n", True, False, 4),
        ("lin", "nhwc", "_nx", False, False, 4),
        ("gap", "sums", "_n", True, False, 4),
        ("gap", "sums", "_nsh", True, True, 4),
    )
    for pixels in _PIXELS
}

_OTHERS = (
    *(f"expand_{form}{pixels}" for form in ("tile", "tile_s", "bytes") for pixels in _PIXELS),
    "im2col3_lead0",
    "im2col3_lead1",
    "im2col3_bytes",
    *(f"im2col1_lead{lead}" for lead in range(4)),
    "im2col1_bytes",
    *(f"dw_rows{stride}{rest}" for stride in ("1", "2", "2_same") for rest in ("", "_rest2")),
    *(f"dw_columns{stride}" for stride in ("1", "2", "2_same")),
    "dw_plane6",
    "dw_plane6s2",
    "dw_plane6s2_same",
    "dw_plane3",
    "fc8_fold",
    "fc8_n",
    "add_mla",
    "requant_s8",
    "mean_s8",
)

BODIES: tuple[str, ...] = tuple(f"mbv2_{body}_dsp" for body in (*_POINTWISE, *_OTHERS))
"""The C names of all bodies."""

FOUR_BITS = frozenset(body for body in BODIES if body.endswith(("_n_dsp", "_nx_dsp", "_nsh_dsp")))
"""Those for weights of 4 bits, which have a header and twins of their own."""


def render(core: str, bodies: Iterable[str]) -> str:
    """The text of mbv2_dsp_bodies.S for ``core`` (one of dsp_assembly.CORES): exactly ``bodies``, in BODIES' order.

    ValueError for a name that is not in BODIES or a core outside the family: the caller's mistake, not the user's.
    """
    wanted = set(bodies)
    if core not in CORES:
        raise ValueError(f"the dsp family has no schedule for '{core}'")
    if not wanted <= set(BODIES):
        raise ValueError(f"no such body: {', '.join(sorted(wanted - set(BODIES)))}")
    return source(core, [_function(name, core) for name in BODIES if name in wanted])


def _function(name: str, core: str) -> str:
    body = name.removeprefix("mbv2_").removesuffix("_dsp")
    if body in _POINTWISE:
        return pointwise(name, core, _POINTWISE[body])
    if body.startswith("dw_"):
        return _depthwise(name, body)
    if body == "fc8_fold":
        return fully_connected(name, core)
    if body == "fc8_n":
        return fully_connected_four_bits(name)
    vectors = {"add_mla": add, "requant_s8": requantization, "mean_s8": mean}
    return vectors[body](name) if body in vectors else _tile(name, body)


def _depthwise(name: str, body: str) -> str:
    if body.startswith("dw_rows"):
        return depthwise_rows(name, body.removeprefix("dw_rows").removesuffix("_rest2"), body.endswith("_rest2"))
    if body.startswith("dw_columns"):
        return depthwise_columns(name, body.removeprefix("dw_columns"))
    if body == "dw_plane3":
        return depthwise_plane3(name)
    if body == "dw_plane6":
        return depthwise_plane6(name)
    return depthwise_plane6_stride2(name, same=body.endswith("_same"))


def _tile(name: str, body: str) -> str:
    forms = {
        "expand_tile": dsp_tiles.expand_tile,
        "expand_tile_s": dsp_tiles.expand_tile_scaled,
        "expand_bytes": dsp_tiles.expand_bytes,
        "im2col3_lead": dsp_tiles.im2col3,
        "im2col1_lead": dsp_tiles.im2col1,
    }
    if body == "im2col3_bytes":
        return dsp_tiles.im2col3_bytes(name)
    if body == "im2col1_bytes":
        return dsp_tiles.im2col1_bytes(name)
    form, digit = re.fullmatch(r"(\w+)(\d)", body).groups()  # type: ignore[union-attr]  # every body's name has this form
    return forms[form](name, int(digit))
