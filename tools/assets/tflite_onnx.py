"""MediaPipe's TensorFlow Lite nets as ONNX.

Covers the operators that the nets of this package use, among them the custom ones of the attention
mesh, which general converters do not know. Tensors of rank 4 are NHWC there and NCHW here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from assets.tflite_graph import Graph, Operator, read_graph

_OPSET, _IR_VERSION = 17, 8
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def onnx_from_tflite(data: bytes, name: str) -> bytes:
    """Convert a net with one image as input.

    Weights that the file stores in half precision are so in the result, too, and cast to float32
    when it is loaded.

    Args:
        data: The ``.tflite`` file.
        name: Of the graph.

    Returns:
        An ONNX file. Its input ``image`` is ``(1, 3, height, width)``; its outputs have the names
        and shapes of the original ones.
    """
    return _Converter(read_graph(data)).convert(name)


class _Converter:
    """One conversion; ``_values`` maps tensors of the original to values of the ONNX graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._values: dict[int, str] = {graph.inputs[0]: "image"}

    def convert(self, name: str) -> bytes:
        graph = self._graph
        for operator in graph.operators:
            if operator.kind not in _CONVERTERS:
                raise NotImplementedError(f"operator {operator.kind}")
            self._values[operator.outputs[0]] = _CONVERTERS[operator.kind](self, operator)
        outputs = []
        for k in graph.outputs:
            self._nodes.append(
                helper.make_node("Identity", [self._channels_last(k)], [graph.names[k]])
            )
            outputs.append(
                helper.make_tensor_value_info(graph.names[k], TensorProto.FLOAT, graph.shapes[k])
            )
        shape = [graph.shapes[graph.inputs[0]][axis] for axis in _TO_NCHW]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
        model = helper.make_model(
            helper.make_graph(self._nodes, name, [image], outputs, self._initializers),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)

    # -- building blocks

    def _add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"constant_{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name if array.dtype != np.float16 else self._add("Cast", name, to=TensorProto.FLOAT)

    def _floats(self, values: ArrayLike) -> str:
        return self._constant(np.asarray(values, np.float32))

    def _integers(self, values: ArrayLike) -> str:
        return self._constant(np.asarray(values, np.int64))

    def _input(self, operator: Operator, position: int) -> str:
        k = operator.inputs[position]
        if k not in self._values:
            array = self._graph.constants[k]
            self._values[k] = self._constant(
                array.transpose(_TO_NCHW) if array.ndim == 4 else array
            )
        return self._values[k]

    def _weight(self, operator: Operator, position: int, *axes: int) -> str:
        array = self._graph.constants[operator.inputs[position]]
        return self._constant(array.transpose(axes) if axes else array)

    def _channels_last(self, k: int) -> str:
        value = self._values[k]
        rank = len(self._graph.shapes[k])
        return self._add("Transpose", value, perm=_TO_NHWC) if rank == 4 else value

    # -- operators

    def _convolution(self, operator: Operator) -> str:
        options = operator.options
        depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        _no_activation(operator)
        if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
            raise NotImplementedError("dilated convolution")
        # Weights are (out, height, width, in), or (1, height, width, channels) if depthwise.
        weight = self._weight(operator, 1, *((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)))
        padding = "SAME_UPPER" if options.Padding() == tflite.Padding.SAME else "VALID"
        return self._add(
            "Conv",
            self._input(operator, 0),
            weight,
            self._weight(operator, 2),
            auto_pad=padding,
            strides=[options.StrideH(), options.StrideW()],
            group=self._graph.shapes[operator.inputs[0]][3] if depthwise else 1,
        )

    def _transposed_convolution(self, operator: Operator) -> str:
        weight = self._weight(operator, 1, 3, 0, 1, 2)
        return self._add(
            "ConvTranspose",
            self._input(operator, 0),
            weight,
            self._weight(operator, 2),
            strides=self._graph.constants[operator.inputs[1]].shape[1:3],
        )

    def _pool(self, operator: Operator) -> str:
        options = operator.options
        _no_activation(operator)
        kernel = [options.FilterHeight(), options.FilterWidth()]
        if options.Padding() != tflite.Padding.VALID:
            raise NotImplementedError("padded pooling")
        return self._add(
            "MaxPool" if operator.kind == "MAX_POOL_2D" else "AveragePool",
            self._input(operator, 0),
            kernel_shape=kernel,
            strides=[options.StrideH(), options.StrideW()],
        )

    def _pad(self, operator: Operator) -> str:
        pads = self._graph.constants[operator.inputs[1]][list(_TO_NCHW)].T.ravel()
        return self._add("Pad", self._input(operator, 0), self._integers(pads))

    def _prelu(self, operator: Operator) -> str:
        slope = self._weight(operator, 1, 2, 0, 1)  # (1, 1, channels)
        return self._add("PRelu", self._input(operator, 0), slope)

    def _binary(self, operator: Operator) -> str:
        _no_activation(operator)
        kind = {"ADD": "Add", "MUL": "Mul"}[operator.kind]
        return self._add(kind, self._input(operator, 0), self._input(operator, 1))

    def _unary(self, operator: Operator) -> str:
        kind = {"RELU": "Relu", "HARD_SWISH": "HardSwish", "LOGISTIC": "Sigmoid"}[operator.kind]
        return self._add(kind, self._input(operator, 0))

    def _reshape(self, operator: Operator) -> str:
        shape = self._graph.shapes[operator.outputs[0]]
        flat = self._channels_last(operator.inputs[0])
        value = self._add("Reshape", flat, self._integers(shape))
        return self._add("Transpose", value, perm=_TO_NCHW) if len(shape) == 4 else value

    def _slice(self, operator: Operator) -> str:
        source, target = (self._graph.shapes[k] for k in (operator.inputs[0], operator.outputs[0]))
        if source != target:
            raise NotImplementedError("a slice that is not the whole tensor")
        return self._input(operator, 0)

    def _resize(self, operator: Operator) -> str:
        options = operator.options
        if options.AlignCorners() or not options.HalfPixelCenters():
            raise NotImplementedError("resizing with other than half-pixel centres")
        shape = [self._graph.shapes[operator.outputs[0]][axis] for axis in _TO_NCHW]
        sizes = self._integers(shape)
        return self._add("Resize", self._input(operator, 0), "", "", sizes, mode="linear")

    # -- custom operators of the attention mesh: regions cut out by affine maps

    def _region_matrix(self, operator: Operator) -> str:
        """``(1, 4, 4)``: from a region's pixel coordinates to those of the whole.

        The region is the box around some landmarks along the line between two of them, times a
        scale.
        """
        options = operator.options
        if options["target_rotation_radians"] != 0.0:
            raise NotImplementedError("a region that is not upright")
        points = self._columns(self._input(operator, 0), [0, 1], axis=2)
        left, right = (
            self._columns(points, [options[key]], axis=1)
            for key in ("left_rotation_idx", "right_rotation_idx")
        )
        axis = self._add("Sub", right, left)  # (1, 1, 2)
        length = self._add("ReduceL2", axis, axes=[2], keepdims=1)
        unit = self._add("Div", axis, length)
        cosine, sine = (self._columns(unit, [k], axis=2) for k in (0, 1))
        # Rows of the rotation that makes the line horizontal, (1, 2, 2), and its inverse.
        turn = self._add(
            "Concat",
            self._add("Concat", cosine, sine, axis=2),
            self._add("Concat", self._add("Neg", sine), cosine, axis=2),
            axis=1,
        )
        back = self._add("Transpose", turn, perm=(0, 2, 1))
        subset = self._columns(points, np.ravel(options["subset_idxs"]).tolist(), axis=1)
        upright = self._add("MatMul", subset, back)
        low = self._add("ReduceMin", upright, axes=[1], keepdims=1)  # (1, 1, 2)
        high = self._add("ReduceMax", upright, axes=[1], keepdims=1)
        size = np.array([options["output_width"], options["output_height"]], np.float32)
        scale = np.array([options["scale_x"], options["scale_y"]], np.float32) / size
        step = self._add("Mul", self._add("Sub", high, low), self._floats(scale))
        linear = self._add("Mul", back, step)  # (1, 2, 2), columns scaled
        middle = self._add("Mul", self._add("Add", low, high), self._floats([0.5]))
        to_middle = self._add("Mul", step, self._floats(size / 2))
        corner = self._add("MatMul", self._add("Sub", middle, to_middle), turn)  # (1, 1, 2)
        offset = self._add("Transpose", corner, perm=(0, 2, 1))
        zeros = self._floats(np.zeros((1, 2, 1)))
        rows = self._add("Concat", linear, zeros, offset, axis=2)  # (1, 2, 4)
        below = self._floats([[[0, 0, 1, 0], [0, 0, 0, 1]]])
        return self._add("Concat", rows, below, axis=1)

    def _transform_points(self, operator: Operator) -> str:
        """Points ``(1, N, 2)`` taken by an affine map ``(1, 4, 4)``."""
        linear, offset = self._affine(self._input(operator, 1))
        turned = self._add("MatMul", self._input(operator, 0), linear)
        return self._add("Add", turned, offset)

    def _cut_region(self, operator: Operator) -> str:
        """Bilinear samples of a map at the pixels of a region; 0 outside the map."""
        height, width = operator.options["output_height"], operator.options["output_width"]
        _, map_height, map_width, _ = self._graph.shapes[operator.inputs[0]]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
        pixels = self._constant(np.stack([x.ravel(), y.ravel()], axis=1)[None])
        linear, offset = self._affine(self._input(operator, 1))
        places = self._add("Add", self._add("MatMul", pixels, linear), offset)
        extent = np.array([map_width, map_height], np.float32)
        # Beyond the centres of the border pixels nothing is sampled.
        inside = self._add(
            "And",
            self._add("GreaterOrEqual", places, self._floats([0.5])),
            self._add("LessOrEqual", places, self._floats(extent - 0.5)),
        )
        mask = self._add(
            "ReduceMin", self._add("Cast", inside, to=TensorProto.FLOAT), axes=[2], keepdims=0
        )
        mask = self._add("Reshape", mask, self._integers([1, 1, height, width]))
        grid = self._add("Mul", places, self._floats(2.0 / extent))
        grid = self._add("Sub", grid, self._floats([1.0]))
        grid = self._add("Reshape", grid, self._integers([1, height, width, 2]))
        samples = self._add("GridSample", self._input(operator, 0), grid, align_corners=0)
        return self._add("Mul", samples, mask)

    def _affine(self, matrix: str) -> tuple[str, str]:
        """Transposed linear part ``(1, 2, 2)`` and offset ``(1, 1, 2)`` of ``(1, 4, 4)``."""
        rows = self._columns(matrix, [0, 1], axis=1)
        linear = self._add("Transpose", self._columns(rows, [0, 1], axis=2), perm=(0, 2, 1))
        offset = self._add("Transpose", self._columns(rows, [3], axis=2), perm=(0, 2, 1))
        return linear, offset

    def _columns(self, value: str, indices: list[int], axis: int) -> str:
        return self._add("Gather", value, self._integers(indices), axis=axis)


_CONVERTERS: dict[str, Callable[[_Converter, Operator], str]] = {
    "ADD": _Converter._binary,
    "AVERAGE_POOL_2D": _Converter._pool,
    "CONV_2D": _Converter._convolution,
    "Convolution2DTransposeBias": _Converter._transposed_convolution,
    "DEPTHWISE_CONV_2D": _Converter._convolution,
    "HARD_SWISH": _Converter._unary,
    "LOGISTIC": _Converter._unary,
    "Landmarks2TransformMatrix": _Converter._region_matrix,
    "MAX_POOL_2D": _Converter._pool,
    "MUL": _Converter._binary,
    "PAD": _Converter._pad,
    "PRELU": _Converter._prelu,
    "RELU": _Converter._unary,
    "RESHAPE": _Converter._reshape,
    "RESIZE_BILINEAR": _Converter._resize,
    "STRIDED_SLICE": _Converter._slice,
    "TransformLandmarks": _Converter._transform_points,
    "TransformTensorBilinear": _Converter._cut_region,
}


def _no_activation(operator: Operator) -> None:
    if operator.options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
        raise NotImplementedError(f"an activation inside {operator.kind}")
