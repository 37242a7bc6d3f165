"""Program: the plan with every number filled in: calls with literal arguments, tables, kernel bodies, bytes.

The C is a rendering of this and adds nothing; the NumPy interpreter (program_interpreter.py) runs the same calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbv2gen.kernels import Access, macs
from mbv2gen.layouts import PlanarLines
from mbv2gen.packing import Table, pack
from mbv2gen.plan import Buffer, Plan
from mbv2gen.quantized_network import (
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QuantizedNetwork,
)
from mbv2gen.schedule import FEED, Step


@dataclass(frozen=True)
class Need:
    """A unit needs min(height, max(0, unit * stride + first)) rows made by step ``source`` of its segment.

    Where the caller pushes rows, he is step 0 of the first segment and its layers are the steps behind."""

    source: int
    height: int
    stride: int
    first: int


@dataclass(frozen=True)
class Call:
    """One operator as a kernel call. ``arguments`` are the fields of the kernel's struct, in their order."""

    layer: int
    operator: str
    kind: str
    block: str
    body: str
    struct: str
    inputs: tuple[Buffer, ...]
    output: Buffer
    scratch_offset: int | None
    arguments: tuple[tuple[str, int], ...]
    tables: tuple[Table, ...]
    units: int
    reduces: bool
    reads: tuple[Access, ...]
    needs: tuple[Need, ...]
    last_consumer: int
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    macs: int
    live_bytes: int

    @property
    def weights_bytes(self) -> int:
        return sum(t.values.nbytes for t in self.tables if t.role == "weights")


@dataclass(frozen=True)
class Program:
    """What runs: ``segments`` are half-open ranges of layers; ``bodies`` the kernels needed, sorted."""

    network: QuantizedNetwork
    target: str
    feed: str
    calls: tuple[Call, ...]
    segments: tuple[tuple[int, int], ...]
    buffers: tuple[Buffer, ...]
    input: Buffer
    output: Buffer
    bodies: tuple[str, ...]
    arena_bytes: int
    peak_layer: int
    keeps_input: bool

    @property
    def weights_bytes(self) -> int:
        return sum(call.weights_bytes for call in self.calls)

    @property
    def parameters_bytes(self) -> int:
        return sum(t.values.nbytes for call in self.calls for t in call.tables) - self.weights_bytes

    @property
    def is_fed(self) -> bool:
        """Whether the caller pushes rows instead of putting the whole input into the arena."""
        return self.feed == "rows"

    @property
    def longest_segment(self) -> int:
        """Steps of the longest segment, the caller included."""
        first_end = self.segments[0][1] + self.is_fed
        return max(first_end, *(end - start for start, end in self.segments))

    @property
    def segment_starts(self) -> tuple[int, ...]:
        """The first step of each segment, and one past the last step."""
        steps = [first + self.is_fed for first, _ in self.segments]
        return (0, *steps[1:], len(self.calls) + self.is_fed)

    @property
    def feed_last_consumer(self) -> int:
        return max((step for step, _, _ in self.feeds), default=0)

    @property
    def feeds(self) -> tuple[tuple[int, int, int], ...]:
        """(step of the first segment, stride, pad) of each layer that reads pushed rows: unit u no longer needs rows
        before u * stride - pad."""
        first = self.calls[: self.segments[0][1]] if self.is_fed else ()
        return tuple(
            (call.layer + 1, access.stride, access.pad)
            for call in first
            for access in call.reads
            if access.tensor == self.input.tensor
        )


STRUCTS = {
    "conv": "mbv2_conv",
    "pointwise": "mbv2_conv",
    "depthwise": "mbv2_conv",
    "fully_connected": "mbv2_conv",
    "add": "mbv2_add",
    "mean": "mbv2_mean",
    "activation": "mbv2_activation",
}


def program(network: QuantizedNetwork, plan: Plan, target: str) -> Program:
    """Fill in the plan: every call with its literal arguments and packed tables."""
    block_of = {name: block.name for block in network.blocks for _, name in block.roles}
    calls = []
    segments = []
    for segment in plan.segments:
        working = [step for step in segment.steps if step.layer != FEED]
        segments.append((working[0].layer, working[-1].layer + 1))
        calls += [_call(network, plan, segment.steps, step, block_of) for step in working]
    return Program(
        network,
        target,
        plan.feed,
        tuple(calls),
        tuple(segments),
        plan.buffers,
        plan.buffer(network.inputs[0]),
        plan.buffer(network.outputs[0]),
        tuple(sorted({call.body for call in calls})),
        plan.arena_bytes,
        max(range(len(calls)), key=lambda layer: calls[layer].live_bytes),
        plan.keep_input,
    )


def _call(
    network: QuantizedNetwork, plan: Plan, segment: tuple[Step, ...], step: Step, block_of: dict[str, str]
) -> Call:
    operator = network.operators[step.layer]
    body = plan.candidates[step.layer].contract.body
    producers = {other.writes: index for index, other in enumerate(segment)}  # in rows mode the caller is step 0
    consumers = [i for i, other in enumerate(segment) if any(r.tensor == step.writes for r in other.reads)]
    inputs = tuple(plan.buffer(name) for name in operator.inputs)
    scratch = next((s.offset for s in plan.scratches if s.operator == operator.name), None)
    return Call(
        step.layer,
        operator.name,
        operator.kind,
        block_of[operator.name],
        body,
        STRUCTS[operator.kind],
        inputs,
        plan.buffer(step.writes),
        scratch,
        _arguments(network, operator, inputs[0], plan.buffer(step.writes)),
        pack(body, operator, network.tensor(operator.inputs[0]).zero_point),
        step.units,
        step.reduces,
        step.reads,
        tuple(
            Need(producers[r.tensor], r.height, r.stride, r.span - r.pad) for r in step.reads if r.tensor in producers
        ),
        max([segment.index(step), *consumers]),
        network.shape(operator.inputs[0]),
        network.shape(operator.outputs[0]),
        macs(operator, network),
        plan.live_bytes[step.layer],
    )


def _arguments(
    network: QuantizedNetwork, operator: QOperator, source: Buffer, result: Buffer
) -> tuple[tuple[str, int], ...]:
    """The scalar fields of the kernel's struct."""
    zero_points = [network.tensor(name).zero_point for name in operator.inputs]
    out_zero_point = network.tensor(operator.outputs[0]).zero_point
    if isinstance(operator, QMean):
        h, w, c = network.shape(operator.inputs[0])
        return (
            ("in_h", h), ("in_w", w), ("channels", c),
            ("multiplier", operator.multiplier), ("shift", operator.shift),
            ("input_zero_point", zero_points[0]), ("output_zero_point", out_zero_point),
        )  # fmt: skip
    clamp = (("act_min", operator.act_min), ("act_max", operator.act_max))
    if isinstance(operator, QAdd):
        return (
            ("multiplier_0", operator.input_multipliers[0]), ("shift_0", operator.input_shifts[0]),
            ("multiplier_1", operator.input_multipliers[1]), ("shift_1", operator.input_shifts[1]),
            ("output_multiplier", operator.output_multiplier), ("output_shift", operator.output_shift),
            ("zero_point_0", zero_points[0]), ("zero_point_1", zero_points[1]),
            ("output_zero_point", out_zero_point), *clamp,
        )  # fmt: skip
    if isinstance(operator, QActivation):
        return clamp
    return _convolution_arguments(network, operator, source, result, zero_points[0], out_zero_point) + clamp


def _convolution_arguments(
    network: QuantizedNetwork,
    operator: QConv2D | QDepthwiseConv2D | QFullyConnected,
    source: Buffer,
    result: Buffer,
    zero_point: int,
    out_zero_point: int,
) -> tuple[tuple[str, int], ...]:
    in_h, in_w, in_c = network.shape(operator.inputs[0])
    _, out_w, out_c = network.shape(operator.outputs[0])
    if isinstance(operator, QFullyConnected):
        in_h, in_w, in_c = 1, 1, in_h * in_w * in_c
        kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left = 1, 1, 1, 1, 0, 0
    else:
        w = operator.window
        kernel_h, kernel_w, stride_h, stride_w = w.kernel_h, w.kernel_w, w.stride_h, w.stride_w
        pad_top, pad_left = w.pad_top, w.pad_left
    lines = next((b.layout for b in (source, result) if isinstance(b.layout, PlanarLines)), PlanarLines(0, 0, 0, 0))
    return (
        ("in_h", in_h), ("in_w", in_w), ("in_c", in_c), ("out_w", out_w), ("out_c", out_c),
        ("kernel_h", kernel_h), ("kernel_w", kernel_w), ("stride_h", stride_h), ("stride_w", stride_w),
        ("pad_top", pad_top), ("pad_left", pad_left),
        ("line_top", lines.pad_top), ("line_left", lines.pad_left), ("line_right", lines.pad_right),
        ("input_zero_point", zero_point), ("output_zero_point", out_zero_point),
    )  # fmt: skip
