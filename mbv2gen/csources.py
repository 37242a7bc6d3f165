# SPDX-License-Identifier: Apache-2.0
"""CSources: the program as C text. Pure rendering: {file name: text}, no I/O but the templates', no arithmetic.

Templates arrange (templates/*.j2), Python computes; kernels need no substitution and are copied as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

from mbv2gen import __version__, ownership, resources, row_work
from mbv2gen.dsp import bodies as dsp_bodies
from mbv2gen.dsp.call_fields import FEW
from mbv2gen.identifiers import comment
from mbv2gen.packing.fields import StructName, Symbol, TableName, Value
from mbv2gen.packing.plain_calls import rows_field
from mbv2gen.pixels.preprocessing import INTEGER_RESIZES
from mbv2gen.plan import Buffer
from mbv2gen.planning.channel_order import Order
from mbv2gen.planning.layouts import PlanarLines, Planes, PlaneTiles, Sums, Tile16, UInt8Lines
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.program import Call, Need, Program

# What each kernel file includes, so that a folder holds just what it uses.
COMMON = (
    "mbv2_place.h",
    "mbv2_kernels.h",
    "mbv2_arithmetic.h",
    "mbv2_pipeline.h",
    "mbv2_pipeline.c",
    "mbv2_tap.h",
    "mbv2_poison.h",
)
_DSP = ("mbv2_dsp.h", "mbv2_dsp_bodies.h", "mbv2_dsp_rows.c", "mbv2_dsp_twins.h", "mbv2_dsp_twins.c")
_FILES = {  # of kernels that share one
    "conv_1x1_planes_s8_dsp": "planes_s8_dsp",
    "depthwise_conv_planes_s8_dsp": "planes_s8_dsp",
    "conv_1x1_plane_groups_s8_dsp": "plane_groups_s8_dsp",
    "depthwise_conv_plane_groups_s8_dsp": "plane_groups_s8_dsp",
    "conv_1x1_columns_s8_dsp": "columns_s8_dsp",
    "depthwise_conv_columns_s8_dsp": "columns_s8_dsp",
    "conv_1x1_windows_s8_dsp": "windows_s8_dsp",
    "depthwise_conv_windows_s8_dsp": "windows_s8_dsp",
    "conv_stem_columns_s8_dsp": "conv_stem_s8_dsp",
    "conv_stem_windows_s8_dsp": "conv_stem_s8_dsp",
    "conv_stem_nhwc_s8_dsp": "conv_stem_s8_dsp",
    "depthwise_conv_nhwc_s8_dsp": "depthwise_conv_s8_dsp",
}
_DOT = {  # header of the kernels that share it
    "mbv2_dot.h": frozenset({"conv_1x1_s8", "conv_1x1_lines_s8", "fully_connected_s8"}),
    "mbv2_dot_s4.h": frozenset({"conv_1x1_s4", "conv_1x1_lines_s4", "fully_connected_s4"}),
}


@dataclass(frozen=True)
class TapView:
    """How a layer's rows are handed out. ``form`` is a mbv2_tap_form; ``line`` the bytes of a line where there are
    lines (of sums: how often they hold a pixel); ``order`` the channel of each position where the layout has an order
    of its own, ``positions`` those that a row holds at most, ``units`` how many make all rows of one group of them.
    ``columns``: units a row of a tight kernel, whose rows stand in groups of ``group``, in ``rows`` and
    ``passing`` (of a recomputing one in windows of ``band`` rows, ``group`` apart); else 0."""

    layer: int
    rows: Buffer
    form: str
    band: int
    top: int
    left: int
    line: int
    h: int
    w: int
    c: int
    order: Order | None
    positions: int
    units: int
    columns: int
    group: int
    passing: Buffer


def render(program: Program, name: str, command: str) -> dict[str, str]:
    """-> {file name: text} of the whole output but report.json; deterministic, no path, no time."""
    environment = _environment()
    kernels = kernel_files(program)
    context = {
        "p": program,
        "name": name,
        "command": comment(command, 200),
        "version": __version__,
        "taps": [_tap(call) for call in program.calls],
        "view": _header_view(program),
        "optimization": "-Os" if program.inner_bodies else "-O2",  # the loops are C, or assembly
        "lives": ownership.ownership(program),
        "needs": _needs(program),
        "kernels": kernels,
        "rows": row_work.rows(program),
    }
    files = {
        f"{name}.h": "network.h.j2",
        f"{name}.c": "network.c.j2",
        f"{name}_weights.h": "weights.h.j2",
        f"{name}_weights.c": "weights.c.j2",
        "Makefile": "Makefile.j2",
    }
    if program.network.model_output.tail != "none":
        files[f"{name}_{program.network.model_output.tail}.c"] = "tail.c.j2"
    if program.network.pixel_input is not None:
        files[f"{name}_pixels.c"] = "pixels.c.j2"
    rendered = {}
    if program.inner_bodies:
        assembly = [body for body in program.inner_bodies if not body.startswith(FEW)]
        rendered[f"{name}_dsp_bodies.S"] = dsp_bodies.render(program.target, assembly)
    context["sources"] = sorted(f for f in (*files, *kernels, *rendered) if f.endswith((".c", ".S")))
    rendered |= {file: environment.get_template(template).render(context) for file, template in files.items()}
    return rendered | {file: (_kernels_dir() / file).read_text(encoding="utf-8") for file in kernels}


def kernel_files(program: Program) -> tuple[str, ...]:
    """The kernel files a program needs, and only those."""
    dot = tuple(header for header, bodies in _DOT.items() if bodies & set(program.bodies))
    bodies = {_FILES.get(body, body) for body in program.bodies}
    bodies |= {"planes_s8_dsp"} if "plane_groups_s8_dsp" in bodies else set()
    inner = program.inner_bodies
    dsp = _DSP if inner else ()
    structs = {struct for call in program.calls for _, struct, _ in call.work.structs}
    general = ("mbv2_dsp_general.c",) if "mbv2_general" in structs else ()
    few = ("mbv2_dsp_few.h",) if any(body.startswith(FEW) for body in inner) else ()
    halves = dsp_bodies.FOUR_BITS & set(inner)
    four_bits = ("mbv2_dsp_four_bits.h", "mbv2_dsp_four_bits_twins.c") if halves else ()
    few_halves = ("mbv2_dsp_four_bits_few.h",) if few and halves else ()
    sums = ("mbv2_tap_sums.h",) if "conv_1x1_sums_s8_dsp" in program.bodies else ()
    pixels = program.network.pixel_input
    resize = ("mbv2_pixels.h", "mbv2_pixels.c") if pixels is not None and pixels.resize in INTEGER_RESIZES else ()
    optional = (*resize, *dot, *dsp, *four_bits, *general, *few, *few_halves, *sums)
    return (*COMMON, *optional, *(f"mbv2_{body}.c" for body in sorted(bodies)))


def _needs(program: Program) -> list[Need]:
    """What layers need of others, whichever those are, each once; one that nobody has where there are none."""
    found = dict.fromkeys(replace(need, source=0) for call in program.calls for need in call.needs)
    assert len(found) < 256, "a step names them by bytes"
    return list(found) or [Need(0, 0, 0, 0, 0, 0, 0)]


def _pair(values: list[int]) -> str:
    """Two numbers as C, filled up with 0."""
    first, second = (*values, 0, 0)[:2]
    return f"{{{first}, {second}}}"


def _kernels_dir() -> Path:
    return resources.templates_dir() / "kernels"


def _environment() -> Environment:
    environment = resources.environment(resources.templates_dir())
    environment.filters |= {
        "comment": comment,
        "thousands": lambda value: f"{value:,.0f}",
        "decimals": lambda value: f"{value:.2f}",
        "shape": lambda shape: "x".join(map(str, shape)),
        "table": table,
        "number": lambda value: f"{value:.8g}",
        "c_float": c_float,
        "initialiser": initialiser,
        "rows": lambda buffer: initialiser(rows_field(buffer), "", 0),
        "channels": lambda order: table(np.array(order, np.int16)),
        "sources": lambda call: _pair([need.source for need in call.needs]),
        "needs_of": lambda call, needs: _pair([needs.index(replace(need, source=0)) for need in call.needs]),
    }
    return environment


def table(values: NDArray[np.generic]) -> str:
    """Numbers as the body of a C initialiser: right-aligned, twelve of a byte or eight words a row, four-space indent;
    unsigned ones as eight hexadecimal digits."""
    flat, per_row = values.reshape(-1), 12 if values.dtype.itemsize == 1 else 8
    if values.dtype.kind == "u":
        width, text = 10, "0x" + flat.astype(">u4").tobytes().hex(",", 4).replace(",", ", 0x")
    else:
        width = 4 if values.dtype.itemsize == 1 else 11
        text = ", ".join([f"%{width}d"] * flat.size) % tuple(flat.tolist())
    row = per_row * (width + len(", "))
    return "\n".join(f"    {text[start : start + row - len(', ')]}," for start in range(0, len(text), row))


def c_float(value: float) -> str:
    """A float32 as a C literal that reads back to the same value."""
    text = f"{np.float32(value):.9g}"
    return text + ("f" if any(c in text for c in ".en") else ".0f")


@dataclass(frozen=True)
class HeaderView:
    """What the header says in words about input and output."""

    input_scale: float
    input_zero_point: int
    input_shape: tuple[int, int, int]
    input_bytes: int
    output_scale: float
    output_zero_point: int
    output_shape: tuple[int, int, int]
    output_bytes: int
    probabilities: tuple[float, ...]


def _header_view(program: Program) -> HeaderView:
    network = program.network
    source, result = network.tensor(network.inputs[0]), network.tensor(network.outputs[0])
    return HeaderView(
        source.scale,
        source.zero_point,
        source.shape,
        int(np.prod(source.shape)),
        result.scale,
        result.zero_point,
        result.shape,
        int(np.prod(result.shape)),
        _tail_table(network.model_output.tail, result.scale, result.zero_point),
    )


def _tail_table(tail: str, scale: float, zero_point: int) -> tuple[float, ...]:
    """256 floats: exp(-scale * distance from the largest logit), or the sigmoid of each int8 value from -128 on."""
    steps = np.arange(256, dtype=np.float64)
    if tail == "softmax":
        return tuple(float(v) for v in np.exp(-scale * steps).astype(np.float32))
    if tail == "sigmoid":
        return tuple(float(v) for v in (1 / (1 + np.exp(-scale * (steps - 128 - zero_point)))).astype(np.float32))
    return ()


def _tap(call: Call) -> TapView:
    h, w, c = shape = call.output_shape
    layout, order = call.output.layout, call.work.order
    held = c if order is None else len(order), call.units
    if isinstance(layout, Planes | PlaneTiles):
        held = layout.channels(shape).size, call.unit_columns

    def view(form: str, top: int = 0, left: int = 0, line: int = 0, band: int = 1, group: int = 1) -> TapView:
        rings = call.output, call.passing or call.output
        columns = call.unit_columns if call.tight else 0
        form = f"MBV2_TAP_{form}"
        return TapView(
            call.layer, rings[0], form, band, top, left, line, h, w, c, order, *held, columns, group, rings[1]
        )

    if isinstance(layout, PlanarLines):
        return view("LINES", layout.pad_top, layout.pad_left, layout.line_bytes(shape))
    if isinstance(layout, UInt8Lines):
        return view("UINT8_LINES", layout.pad_top, layout.LEAD, layout.line_bytes(shape))
    if isinstance(layout, RingColumns4):
        return view("UINT8_LINES", layout.above, 0, 4, group=layout.rows_a_group)
    if isinstance(layout, WindowColumns4):
        return view("UINT8_LINES", layout.above, 0, 4, layout.rows_a_unit, layout.step)
    if isinstance(layout, Planes):
        return view("UINT8_LINES", 0, layout.lead(shape), layout.plane_bytes(shape), layout.band(shape))
    if isinstance(layout, Tile16 | PlaneTiles):
        return view("TILE16", band=layout.band(shape) if isinstance(layout, PlaneTiles) else 1)
    if isinstance(layout, Sums):
        return view("SUMS", line=min(4, w))
    return view("NHWC", band=call.band)


def initialiser(value: Value, name: str, layer: int) -> str:
    """A field's value as C."""
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, TableName):
        return f"{name}_{value.field}_{layer}"
    if isinstance(value, StructName):
        return f"&{value.field}_{layer}"
    if not isinstance(value, tuple):
        return str(value)
    parts = [
        f".{part[0]} = {initialiser(part[1], name, layer)}" if isinstance(part, tuple) else str(part) for part in value
    ]
    return "{" + ", ".join(parts) + "}"
