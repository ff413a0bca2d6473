"""Watches and calls a node from another machine, and says in one line of JSON what it got.

    python network_client.py SECONDS

Waits up to so many seconds for a face on ``/facerot/faces``, then for an answer of
``/facerot/rotate_face`` to a request about the node's latest frame.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy

from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace


def main() -> None:
    rclpy.init()
    node: Any = rclpy.create_node("watcher")
    faces: list[RotatedFaceArray] = []
    node.create_subscription(RotatedFaceArray, "/facerot/faces", faces.append, 10)
    client = node.create_client(RotateFace, "/facerot/rotate_face")
    deadline = time.monotonic() + float(sys.argv[1])

    def wait(condition: Callable[[], object]) -> bool:
        while not condition() and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
        return bool(condition())

    report: dict[str, Any] = {"face": None, "answer": None}
    if wait(lambda: faces):
        face = faces[0]
        report["face"] = {
            "frame_id": face.header.frame_id,
            "roi_width": face.roi.width,
            "yaw": [view.yaw for view in face.views],
            "pixel": list(face.views[0].image.data[:3]),
        }
    if report["face"] and wait(client.service_is_ready):
        request = client.call_async(RotateFace.Request(yaw=[0.5], pitch=[0.0]))
        if wait(request.done):
            answer = request.result()
            report["answer"] = {
                "error_code": answer.error_code,
                "roi_width": [face.roi.width for face in answer.faces],
                "yaw": [view.yaw for face in answer.faces for view in face.views],
            }
    report["nodes"] = sorted(node.get_node_names())
    report["topics"] = sorted(name for name, _ in node.get_topic_names_and_types())
    sys.stdout.write(json.dumps(report) + "\n")
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
