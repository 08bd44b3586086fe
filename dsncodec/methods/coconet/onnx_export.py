"""The network of a file of method "coconet" as an ONNX file, for any other program that runs such files."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from .bitstream import Network

_OPSET, _IR = 17, 8  # as the published networks


class _Graph:
    """Nodes and constants under names of their own."""

    def __init__(self) -> None:
        self.nodes: list[helper.NodeProto] = []
        self.constants: list[helper.TensorProto] = []

    def constant(self, value: object, kind: type[np.generic] = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def __call__(self, operator: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name


def to_onnx(network: Network) -> bytes:
    """A graph from ``places`` (n, 2), x and y in 0..1 of the picture's sides, to ``colours`` (n, 1 or 3), 0..1 and not
    clipped: what ``Network.colours`` computes. docs/format.md, section 6, says how."""
    g = _Graph()
    sine = network.shape.variant == "sine"
    h = (_waves if sine else _six_coordinates)(g, network)
    for at, (matrix, bias) in enumerate(zip(network.weights, network.biases)):
        h = g("Gemm", h, g.constant(matrix), g.constant(bias), transB=1)
        if at < network.shape.layers:
            h = g("Sin" if sine else "Tanh", h)
    h = g("Add", h, g.constant(0.5)) if sine else g("Sigmoid", h)
    g.nodes.append(helper.make_node("Identity", [h], ["colours"]))
    planes = len(network.biases[-1])
    graph = helper.make_graph(
        g.nodes,
        "coconet",
        [helper.make_tensor_value_info("places", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("colours", TensorProto.FLOAT, ["n", planes])],
        g.constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="dsncodec"
    )
    checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _waves(g: _Graph, network: Network) -> str:
    """The inputs of variant "sine"."""
    longer = max(network.aspect)
    doubled = g("Sub", g("Mul", "places", g.constant(2)), g.constant(1))
    both = g("Mul", doubled, g.constant([side / longer for side in network.aspect]))
    parts = [both]
    for octave in range(network.shape.octaves):
        wave = g("Mul", both, g.constant(math.pi * 2**octave))
        parts += [g("Sin", wave), g("Cos", wave)]
    return g("Concat", *parts, axis=1)


def _six_coordinates(g: _Graph, network: Network) -> str:
    """The inputs of variant "paper". ONNX has no atan2."""
    width, height = network.aspect
    across, down = (
        g(
            "Mul",
            g("Sub", g("Gather", "places", g.constant([at], np.int64), axis=1), g.constant(0.5)),
            g.constant(side),
        )
        for at, side in enumerate((width, height))
    )
    squares = g("Add", g("Mul", across, across), g("Mul", down, down))
    radius = g("Div", g("Sqrt", squares), g.constant(math.hypot(width, height) / 2))
    zero = g.constant(0)
    half_turn = g("Where", g("Less", down, zero), g.constant(-math.pi), g.constant(math.pi))
    other_side = g("Where", g("Less", across, zero), half_turn, zero)
    angle = g("Add", g("Atan", g("Div", down, across)), other_side)
    angle = g("Where", g("Equal", squares, zero), zero, angle)
    turns = g("Add", g("Mul", angle, g.constant(1 / math.tau)), g.constant(0.5))
    return g("Concat", "places", g("Sub", g.constant(1), "places"), radius, turns, axis=1)
