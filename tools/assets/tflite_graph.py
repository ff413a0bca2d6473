"""Reading TensorFlow Lite files into plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite
from flatbuffers import flexbuffers
from numpy.typing import NDArray

_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_KINDS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if name.isupper()}


@dataclass(frozen=True)
class Operator:
    """One operator of a graph.

    Attributes:
        kind: Name of the built-in operator, or of the custom one.
        inputs: Tensor indices.
        outputs: Tensor indices.
        options: The operator's options table; a mapping for custom operators.
    """

    kind: str
    inputs: list[int]
    outputs: list[int]
    options: Any


@dataclass(frozen=True)
class Graph:
    """The only subgraph of a model.

    Attributes:
        operators: In the order of execution.
        constants: Values of the constant tensors by index.
        shapes: Shape of every tensor.
        names: Name of every tensor.
        inputs: Indices of the graph's inputs.
        outputs: Indices of the graph's outputs.
    """

    operators: list[Operator]
    constants: Mapping[int, NDArray[Any]]
    shapes: list[tuple[int, ...]]
    names: list[str]
    inputs: list[int]
    outputs: list[int]


def read_graph(data: bytes) -> Graph:
    """Read a model of one subgraph. Half-precision weights stay as they are stored."""
    model = tflite.Model.GetRootAs(data)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(k) for k in range(graph.TensorsLength())]
    shapes = [tuple(int(n) for n in t.ShapeAsNumpy()) if t.ShapeLength() else () for t in tensors]
    constants: dict[int, NDArray[Any]] = {}
    for k, tensor in enumerate(tensors):
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength():
            values = np.frombuffer(buffer.DataAsNumpy().tobytes(), _DTYPES[tensor.Type()])
            constants[k] = values.reshape(shapes[k])
    operators = []
    for k in range(graph.OperatorsLength()):
        operator = _read_operator(model, graph.Operators(k))
        if operator.kind == "DEQUANTIZE" and operator.inputs[0] in constants:
            constants[operator.outputs[0]] = constants[operator.inputs[0]]
        else:
            operators.append(operator)
    return Graph(
        operators,
        constants,
        shapes,
        [tensor.Name().decode() for tensor in tensors],
        graph.InputsAsNumpy().tolist(),
        graph.OutputsAsNumpy().tolist(),
    )


def _read_operator(model: tflite.Model, operator: tflite.Operator) -> Operator:
    entry = model.OperatorCodes(operator.OpcodeIndex())
    # Old files have the code in the first field, new ones in the second: the larger one is it.
    code = max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode())
    inputs, outputs = operator.InputsAsNumpy().tolist(), operator.OutputsAsNumpy().tolist()
    if code == tflite.BuiltinOperator.CUSTOM:
        raw = operator.CustomOptionsAsNumpy().tobytes() if operator.CustomOptionsLength() else b""
        kind = entry.CustomCode().decode()
        # Convolution2DTransposeBias has a C struct instead of a flexbuffer.
        is_map = kind != "Convolution2DTransposeBias" and len(raw) > 0
        return Operator(kind, inputs, outputs, flexbuffers.Loads(raw) if is_map else {})
    options = None
    if operator.BuiltinOptionsType():
        table = operator.BuiltinOptions()
        name = next(
            name
            for name, value in vars(tflite.BuiltinOptions).items()
            if value == operator.BuiltinOptionsType()
        )
        options = getattr(tflite, name)()
        options.Init(table.Bytes, table.Pos)
    return Operator(_KINDS[code], inputs, outputs, options)
