"""Sessions of ONNX Runtime for the packaged nets."""

from __future__ import annotations

from functools import cache

import onnxruntime as ort

from opendr_facerot.assets import asset_path
from opendr_facerot.errors import WeightsError

_ERROR = 3  # severity: 0 verbose, 1 info, 2 warning, 3 error


def inference_session(asset_name: str) -> ort.InferenceSession:
    """Load a packaged ONNX file for the CPU. The session may be run from several threads at once.

    Each run takes one thread: on nets as small as these a second one costs an eighth more and makes
    none of them faster.

    Args:
        asset_name: File name in :mod:`opendr_facerot.assets`.

    Raises:
        WeightsError: The file is missing or is not a readable ONNX model.
    """
    path = asset_path(asset_name)
    _share_memory()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes have no public common base
        raise WeightsError(
            f"{path} cannot be loaded as an ONNX model ({error}): install the package again"
        ) from error


@cache
def _share_memory() -> None:
    """Let all sessions of the process take their working memory from one pool, as it is needed.

    The nets run one after the other; pools of their own would each keep their largest size.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    as_requested = 1
    ort.create_and_register_allocator(
        memory, ort.OrtArenaCfg({"arena_extend_strategy": as_requested})
    )
