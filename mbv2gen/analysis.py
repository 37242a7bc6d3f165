# SPDX-License-Identifier: Apache-2.0
"""Analysis: where a network loses accuracy in int8, layer by layer, on its calibration pictures.

Two figures a layer. ``snr_db`` compares the layer's output in the int8 network with that in the float one: all noise
so far. ``alone_db`` compares the outputs of the network where this layer alone is int8 (its weights, its bias, its
output) and all others are float: the noise the layer itself adds. That of the least ``alone_db`` hurts most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbv2gen import compiler, float_reference, int8_reference, pruning
from mbv2gen.compiler import Options
from mbv2gen.evaluation.figures import Reals, decibels, signal_and_noise
from mbv2gen.int8_reference import Weighted as QWeighted
from mbv2gen.network import Activation, FloatArray, Network
from mbv2gen.pixels import network_inputs
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.progress import Tell, part
from mbv2gen.quantization import given_network, quantized_network_file, weight_storage
from mbv2gen.quantization.calibration import synthetic
from mbv2gen.quantization.effort import Quantized
from mbv2gen.quantization.tensor_scales import Weighted, channel_rows, dequantize, quantize_values
from mbv2gen.quantized_network import QDepthwiseConv2D, QTensor, QuantizedNetwork

BATCH = 8  # pictures whose tensors are held at once
ALONE_PICTURES = 32  # evenly spaced, on which layers are int8 alone


@dataclass(frozen=True)
class LayerNoise:
    """One layer's output, or the network's input (``op`` is then input).

    ``snr_db``, ``alone_db``: None where nothing is lost. ``low``, ``high``: the float values; ``int8_low``,
    ``int8_high``: what int8 can hold. ``saturated``: share of the float values beyond that by more than half a step.
    ``removed_channels`` were proved to carry nothing and are not in the C; ``constant_channels`` are, but never
    change on these pictures. ``weight_spread``: largest over smallest range of weights among the channels.
    """

    name: str
    block: str
    op: str
    shape: tuple[int, int, int]
    snr_db: float | None
    alone_db: float | None
    low: float
    high: float
    int8_low: float
    int8_high: float
    saturated: float
    removed_channels: int
    constant_channels: int
    weight_spread: float | None


@dataclass(frozen=True)
class Analysis:
    """``images`` calibration pictures, of which ``alone_images`` served for ``alone_db``; ``worst`` hurts most."""

    source: str
    effort: int
    images: int
    alone_images: int
    snr_db: float | None
    worst: str | None
    layers: tuple[LayerNoise, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As it stands in report.json."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Subject:
    """A network as read, and what a compile with these options makes of it."""

    network: Network
    quantized: Quantized
    options: Options
    warnings: tuple[str, ...]


def quantize(model: Path, options: Options, tell: Tell | None = None) -> Subject:
    """As ``compile`` does; Mbv2genError for bad input."""
    network = compiler.read_network(model, options.name)
    data, how, warnings = compiler.open_calibration(model, network, options)
    if network.is_quantized:
        compiler.refuse_four_bits(network, options.storage)
        integer = given_network.quantize(network, data, how, tell)
        return Subject(network, Quantized(network, integer, data or synthetic(network, how)), options, warnings)
    made = weight_storage.quantize(pruning.prune(network), data, how, options.effort, options.storage, tell)
    return Subject(network, made, options, warnings)


def is_of(subject: Subject, compiled: QuantizedNetwork) -> bool:
    """Whether ``compiled``, whatever its name, is the network of ``subject``, number by number."""
    own = replace(subject.quantized.integer, name=compiled.name)
    return quantized_network_file.dump(own) == quantized_network_file.dump(compiled)


def analyze(subject: Subject, tell: Tell | None = None) -> Analysis:
    """Compare on the pictures that the network was calibrated with."""
    made, tell = subject.quantized, tell or (lambda done, total: None)
    names = [tensor.name for tensor in made.real.tensors]
    some = network_inputs.spread(made.data, ALONE_PICTURES)
    steps = len(made.data) + len(some) * len(names)
    tallies = _tallies(made, part(tell, 0, steps))
    alone = _alone(made, some, part(tell, len(made.data), steps))
    ratios = {name: _ratio_db(alone[name]) for name in names}
    worst = max(names, key=lambda name: float(alone[name][1]))
    logits = tallies[made.real.outputs[0]].centred
    layers = tuple(_layer(subject, name, tallies[name], ratios[name]) for name in names)
    return Analysis(
        source=made.data.source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1],
        effort=subject.options.effort,
        images=len(made.data),
        alone_images=len(some),
        snr_db=_ratio_db(logits),
        worst=next(layer.name for layer, name in zip(layers, names, strict=True) if name == worst),
        layers=layers,
        warnings=subject.warnings,
    )


@dataclass(eq=False)
class _Tally:
    """Sums over pictures of one tensor: powers (signal, noise), as they are and centred; ends; values that saturate."""

    plain: Reals
    centred: Reals
    low: float = np.inf
    high: float = -np.inf
    values: int = 0
    saturated: int = 0
    int8_low: NDArray[np.int8] | None = None
    int8_high: NDArray[np.int8] | None = None

    def add(self, real: FloatArray, integer: NDArray[np.int8], tensor: QTensor) -> None:
        made = dequantize(integer, tensor)
        wanted = real.astype(np.float64)
        self.plain += (wanted**2).sum(), ((made - wanted) ** 2).sum()
        self.centred += signal_and_noise(wanted, made).sum(axis=0)
        self.low, self.high = min(self.low, float(real.min())), max(self.high, float(real.max()))
        self.values += real.size
        least, greatest = dequantize(np.array([-128.5, 127.5]), tensor)
        self.saturated += int(np.count_nonzero((real < least) | (real > greatest)))
        low, high = integer.min(axis=(0, 1, 2)), integer.max(axis=(0, 1, 2))
        self.int8_low = low if self.int8_low is None else np.minimum(low, self.int8_low)
        self.int8_high = high if self.int8_high is None else np.maximum(high, self.int8_high)


def _tallies(made: Quantized, tell: Tell) -> dict[str, _Tally]:
    """By tensor, over all pictures."""
    tallies = {tensor.name: _Tally(np.zeros(2), np.zeros(2)) for tensor in made.real.tensors}
    done = 0
    for feed in network_inputs.feeds(made.integer, made.data, BATCH):
        real = float_reference.run(made.real, feed.real)
        integer = int8_reference.run(made.integer, feed.integer)
        for name, tally in tallies.items():
            tally.add(real[name], integer[name], made.integer.tensor(name))
        done += len(feed.real)
        tell(done, len(made.data))
    return tallies


def _alone(made: Quantized, pictures: Pictures, tell: Tell) -> dict[str, Reals]:
    """By tensor (signal, noise) of the network's output, where the tensor's layer alone is int8."""
    network = made.real
    found = {tensor.name: np.zeros(2) for tensor in network.tensors}
    done = 0
    for feed in network_inputs.feeds(made.integer, pictures, BATCH):
        real = float_reference.run(network, feed.real)
        wanted = real[network.outputs[0]].astype(np.float64)
        for name in found:
            output = _output_with(network, real, name, _int8_alone(made, name, real))
            found[name] += signal_and_noise(wanted, output.astype(np.float64)).sum(axis=0)
            done += len(feed.real)
            tell(done, len(pictures) * len(found))
    return found


def _int8_alone(made: Quantized, name: str, real: Mapping[str, FloatArray]) -> FloatArray:
    """The tensor ``name`` as its layer makes it in int8 out of float inputs. An activation adds no noise of its own."""
    target, value = made.integer.tensor(name), real[name]
    operators = zip(made.real.operators, made.integer.operators, strict=True)
    operator, q = next(((one, q) for one, q in operators if name in one.outputs), (None, None))
    if isinstance(operator, Activation):
        return value
    if isinstance(operator, Weighted) and isinstance(q, QWeighted):
        rounded = _with_integers(operator, q, made.integer.tensor(operator.inputs[0]))
        value = float_reference.apply(rounded, (real[operator.inputs[0]],))
    return dequantize(quantize_values(value, target), target).astype(np.float32)


def _with_integers(operator: Weighted, q: QWeighted, source: QTensor) -> Weighted:
    """The float operator with what the integer weights and biases stand for."""
    scale = q.weight_scale.astype(np.float64)
    by_channel = scale if isinstance(q, QDepthwiseConv2D) else scale.reshape(-1, *[1] * (q.weights.ndim - 1))
    weights, bias = q.weights * by_channel, q.bias * scale * source.scale
    return replace(operator, weights=weights.astype(np.float32), bias=bias.astype(np.float32))


def _output_with(network: Network, real: Mapping[str, FloatArray], name: str, value: FloatArray) -> FloatArray:
    """The network's output where the tensor ``name`` is ``value`` and all that does not follow from it is ``real``."""
    values = {**real, name: value}
    changed = {name}
    for operator in network.operators:
        if not changed.isdisjoint(operator.inputs):
            values[operator.outputs[0]] = float_reference.apply(operator, tuple(values[x] for x in operator.inputs))
            changed.add(operator.outputs[0])
    return values[network.outputs[0]]


def _layer(subject: Subject, name: str, tally: _Tally, alone_db: float | None) -> LayerNoise:
    made = subject.quantized
    operator = next((operator for operator in made.real.operators if name in operator.outputs), None)
    title = name if operator is None else operator.name
    blocks = {one: block.name for block in made.real.blocks for _, one in block.roles}
    tensor = made.integer.tensor(name)
    int8_low, int8_high = dequantize(np.array([-128, 127]), tensor)
    assert tally.int8_low is not None
    return LayerNoise(
        name=title,
        block=blocks.get(title, ""),
        op="input" if operator is None else operator.kind,
        shape=tensor.shape,
        snr_db=_ratio_db(tally.plain),
        alone_db=alone_db,
        low=tally.low,
        high=tally.high,
        int8_low=float(int8_low),
        int8_high=float(int8_high),
        saturated=tally.saturated / tally.values,
        removed_channels=subject.network.shape(name)[2] - tensor.shape[2],
        constant_channels=int(np.count_nonzero(tally.int8_low == tally.int8_high)),
        weight_spread=_weight_spread(operator) if isinstance(operator, Weighted) else None,
    )


def _ratio_db(powers: Reals) -> float | None:
    """Of (signal, noise); None where there is none of either."""
    return float(decibels(powers)) if (powers > 0).all() else None


def _weight_spread(operator: Weighted) -> float | None:
    """Largest over smallest range of weights among the channels that have any."""
    ranges = np.abs(channel_rows(operator)).max(axis=1)
    return float(ranges.max() / ranges[ranges > 0].min()) if ranges.any() else None
