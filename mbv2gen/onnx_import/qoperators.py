# SPDX-License-Identifier: Apache-2.0
"""QOperator files rewritten as QDQ: QLinearConv and its kin become the float operator between DequantizeLinear and
QuantizeLinear, so that both formats go one way from here on. Scales and zero points stay the file's own.

Layouts of the inputs: ONNX's operators QLinearConv and QLinearMatMul, onnxruntime's ContribOperators.md for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

CONTRIB = "com.microsoft"  # onnxruntime's own operators


def with_quantize_nodes(model: ModelProto) -> ModelProto:
    """The model with its QOperator nodes written out, and onnxruntime's Q and DQ taken for ONNX's; else itself."""
    if not any(_is_rewritten(node) for node in model.graph.node):
        return model
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for index, node in enumerate(model.graph.node):
        result.graph.node.extend(_Rewriting(node, index).nodes() if _is_rewritten(node) else [node])
    return result


def _is_rewritten(node: NodeProto) -> bool:
    if not (node.input and node.output):
        return False
    if node.domain == CONTRIB:
        return node.op_type in REWRITINGS or node.op_type in ("QuantizeLinear", "DequantizeLinear")
    return node.domain in ("", "ai.onnx") and node.op_type in ("QLinearConv", "QLinearMatMul")


class _Rewriting:
    """One QOperator node on its way to several, which all have its name."""

    def __init__(self, node: NodeProto, index: int) -> None:
        self.node, self.name = node, node.name or f"{node.op_type}_{index}"
        self.attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        self.made: list[NodeProto] = []

    def nodes(self) -> list[NodeProto]:
        if self.node.op_type in REWRITINGS:
            REWRITINGS[self.node.op_type](self)
            return self.made
        standard = NodeProto()
        standard.CopyFrom(self.node)
        standard.domain = ""
        return [standard]

    def given(self, index: int) -> str:
        return self.node.input[index] if index < len(self.node.input) else ""

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.made.append(helper.make_node(op, inputs, [output], name=self.name, **attributes))
        return output

    def real(self, value: int, scale: int, zero_point: int, axis: int = 1) -> str:
        """The dequantized input at these places."""
        inputs = [self.given(value), self.given(scale), self.given(zero_point)]
        return self.add("DequantizeLinear", inputs, f"{self.node.output[0]}/input_{value}", axis=axis)

    def bias(self, value: int, scales: tuple[int, int]) -> list[str]:
        """The int32 bias, whose scale is the product of two (times alpha); nothing where there is none."""
        if not self.given(value):
            return []
        output = self.node.output[0]
        alpha = helper.make_tensor("alpha", TensorProto.FLOAT, [], [self.attributes.get("alpha", 1.0)])
        factor = self.add("Constant", [], f"{output}/alpha", value=alpha)
        scale = self.add("Mul", [self.given(index) for index in scales], f"{output}/scales")
        scale = self.add("Mul", [scale, factor], f"{output}/bias_scale")
        return [self.add("DequantizeLinear", [self.given(value), scale], f"{output}/bias", axis=0)]

    def result(self, op: str, inputs: list[str], scale: int, zero_point: int, **attributes: Any) -> None:
        """The float operator and, where the node gives an output scale, the QuantizeLinear behind it."""
        if not self.given(scale):
            self.add(op, inputs, self.node.output[0], **attributes)
            return
        value = self.add(op, inputs, f"{self.node.output[0]}/real", **attributes)
        self.add("QuantizeLinear", [value, self.given(scale), self.given(zero_point)], self.node.output[0])

    def without(self, *names: str) -> dict[str, Any]:
        return {key: value for key, value in self.attributes.items() if key not in names}


def _conv(q: _Rewriting) -> None:
    inputs = [q.real(0, 1, 2), q.real(3, 4, 5, axis=0), *q.bias(8, (1, 4))]
    q.result("Conv", inputs, 6, 7, **q.attributes)


def _matmul(q: _Rewriting) -> None:
    q.result("MatMul", [q.real(0, 1, 2), q.real(3, 4, 5, axis=-1)], 6, 7)


def _gemm(q: _Rewriting) -> None:
    axis = 0 if q.attributes.get("transB", 0) else 1
    inputs = [q.real(0, 1, 2), q.real(3, 4, 5, axis=axis), *q.bias(6, (1, 4))]
    q.result("Gemm", inputs, 7, 8, **q.attributes)


def _binary(op: str) -> Callable[[_Rewriting], None]:
    return lambda q: q.result(op, [q.real(0, 1, 2), q.real(3, 4, 5)], 6, 7)


def _unary(op: str) -> Callable[[_Rewriting], None]:
    return lambda q: q.result(op, [q.real(0, 1, 2)], 3, 4, **q.without("opset"))


def _pool(op: str) -> Callable[[_Rewriting], None]:
    """A pooling; with ``channels_last`` it takes NHWC, and is wrapped in transpositions."""

    def rewrite(q: _Rewriting) -> None:
        attributes = q.without("channels_last")
        if not q.attributes.get("channels_last", 0):
            q.result(op, [q.real(0, 1, 2)], 3, 4, **attributes)
            return
        moved = q.add("Transpose", [q.real(0, 1, 2)], f"{q.node.output[0]}/nchw", perm=[0, 3, 1, 2])
        pooled = q.add(op, [moved], f"{q.node.output[0]}/pooled", **attributes)
        q.result("Transpose", [pooled], 3, 4, perm=[0, 2, 3, 1])

    return rewrite


REWRITINGS: Mapping[str, Callable[[_Rewriting], None]] = {
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearAveragePool": _pool("AveragePool"),
    "QLinearConv": _conv,
    "QLinearGlobalAveragePool": _pool("GlobalAveragePool"),
    "QLinearMatMul": _matmul,
    "QLinearMul": _binary("Mul"),
    "QLinearReduceMean": _unary("ReduceMean"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _unary("Softmax"),
}
