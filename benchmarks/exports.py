# SPDX-License-Identifier: Apache-2.0
"""What other engines make of the exported files, on pictures, against the reference: docs/exports.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import numpy as np
import onnx
import onnxruntime
import tables
from ai_edge_litert import interpreter as litert
from networks import DIGITS_NET, ROOT, Loaded, Trained, load, trained_nets
from tflite_micro.python.tflite_micro import runtime

from mbv2gen import int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.evaluation.figures import Integers
from mbv2gen.pixels import network_inputs
from mbv2gen.quantization import qdq_file, tflite_file
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

PICTURES = 200
ARENA_BYTES = 8 << 20
RESOLVERS, LEVELS = litert.OpResolverType, onnxruntime.GraphOptimizationLevel

Engine: TypeAlias = Callable[[QuantizedNetwork, Int8Array], Int8Array]


@dataclass(frozen=True)
class Compared:
    """Output values of one engine on one network against the reference's."""

    net: str
    engine: str
    steps: Integers  # [n][values]: how far apart
    same_choice: float | None  # fraction of cells; None where the output chooses no class


def in_micro(network: QuantizedNetwork, x: Int8Array) -> Int8Array:
    interpreter = runtime.Interpreter.from_bytes(tflite_file.emit(network), arena_size=ARENA_BYTES)
    outputs = []
    for one in x:
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).copy())
    return np.stack(outputs)


def in_litert(resolver: object) -> Engine:
    def run(network: QuantizedNetwork, x: Int8Array) -> Int8Array:
        content = tflite_file.emit(network)
        interpreter = litert.Interpreter(model_content=content, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        outputs = []
        for one in x:
            interpreter.set_tensor(source["index"], one[None])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target["index"]))
        return np.stack(outputs)

    return run


def in_onnxruntime(level: object, *, is_exact: bool) -> Engine:
    """The last rounding's integers. ``is_exact``: without 16-bit saturation on x86 processors that lack VNNI."""

    def run(network: QuantizedNetwork, x: Int8Array) -> Int8Array:
        model = onnx.load_from_string(qdq_file.emit(network))
        last = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"][-1]
        model.graph.output.append(onnx.helper.make_tensor_value_info(last, onnx.TensorProto.INT8, None))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.add_session_config_entry("session.x64quantprecision", "1" if is_exact else "0")
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        real = dequantize(x, network.tensor(network.inputs[0])).astype(np.float32)
        real = real.transpose(0, 3, 1, 2) if network.model_input.layout == "NCHW" else real
        outputs = np.concatenate([session.run([last], {network.model_input.name: one[None]})[0] for one in real])
        return outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 else outputs

    return run


ENGINES: dict[str, Engine] = {
    "TensorFlow Lite Micro": in_micro,
    "LiteRT, reference kernels": in_litert(RESOLVERS.BUILTIN_REF),
    "LiteRT, optimised kernels": in_litert(RESOLVERS.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
    "LiteRT, XNNPACK (its default)": in_litert(RESOLVERS.BUILTIN),
    "onnxruntime, not optimised": in_onnxruntime(LEVELS.ORT_DISABLE_ALL, is_exact=True),
    "onnxruntime, session.x64quantprecision": in_onnxruntime(LEVELS.ORT_ENABLE_ALL, is_exact=True),
    "onnxruntime, its default": in_onnxruntime(LEVELS.ORT_ENABLE_ALL, is_exact=False),
}


def compare(loaded: Loaded, pictures: int) -> list[Compared]:
    """Every engine on up to ``pictures`` pictures, spread over the net's own."""
    network = loaded.quantized
    assert isinstance(loaded.net, Trained)
    found = network_inputs.spread(network_inputs.open_pictures(network, loaded.net.pictures), pictures)
    x = np.concatenate([feed.integer for feed in network_inputs.feeds(network, found, pictures)])
    wanted = int8_reference.run_outputs(network, x)
    compared = []
    for engine, run in ENGINES.items():
        made = run(network, x).reshape(wanted.shape)
        same = float((made.argmax(axis=3) == wanted.argmax(axis=3)).mean()) if wanted.shape[3] > 1 else None
        steps = np.abs(made.astype(np.int64) - wanted).reshape(len(x), -1)
        compared.append(Compared(loaded.net.title, engine, steps, same))
    return compared


def row(one: Compared) -> tuple[object, ...]:
    share, more = (f"{100 * (one.steps > limit).mean():.2f} %" for limit in (0, 1))
    same = None if one.same_choice is None else f"{100 * one.same_choice:.2f} %"
    return f"{one.net}, {len(one.steps)} pictures", one.engine, share, more, int(one.steps.max()), same


def document(compared: list[Compared]) -> list[str]:
    columns = ("network", "engine", "values that differ", "by more than a step", "greatest difference", "same choice")
    processor = "has" if "vnni" in _processor_flags() else "has no"
    return [
        "# Exports in other engines",
        "Made by `make exports`; do not edit. The integer network as `.tflite` and as QDQ ONNX, in the engines that "
        f"run them (LiteRT and onnxruntime {onnxruntime.__version__} on an x86 processor that {processor} VNNI), "
        "against the reference; *differ* counts int8 output values on pictures.",
        tables.table(columns, [row(one) for one in compared]),
        "## What to know",
        "* The `.tflite` is equal in every byte in TensorFlow Lite Micro. LiteRT's reference kernels differ in the "
        "fully connected layer alone, by a step in about one value of a thousand. Its other kernels round once where "
        "TensorFlow Lite Micro rounds twice: each layer differs by a step in few values, and sixty layers carry that "
        "on.\n"
        "* The QDQ file takes and gives what the float model took and gave (type, layout, its softmax). onnxruntime "
        "rounds once as well: each layer, fed the same integers, is within one step of the reference "
        "(tests/test_qdq_file.py), optimised or not; the whole network is not, as it is not in LiteRT.\n"
        "* On x86 processors without VNNI onnxruntime's default int8 kernels add two products in 16 bits, which "
        "saturates; the file keeps all eight bits of the weights. Set the session entry `session.x64quantprecision` "
        "to `1` there.\n"
        "* Here the engines are fed the reference's own input integers. Where a float input lies exactly between two "
        "of them, as pixels around a mean of 127.5 do, QuantizeLinear rounds to even and mbv2gen up.",
    ]


def _processor_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


@click.command()
@click.option("--quick", is_flag=True, help="The digits only, few pictures.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "exports.md", metavar="FILE")
def main(quick: bool, out: Path) -> None:
    """Run the exported files in other engines and write the table of the differences."""
    try:
        nets = (DIGITS_NET,) if quick else trained_nets()
        tables.write(out, document([one for net in nets for one in compare(load(net), 20 if quick else PICTURES)]))
    except Mbv2genError as error:
        click.echo(f"exports: error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"written: {out.name}")


if __name__ == "__main__":
    main()
