"""The C++ example: its messages with any compiler, the whole of it where rclcpp is installed."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import os
import shutil
import subprocess
from pathlib import Path

from graph import Graph
from squares import picture

import opendr_facerot_interfaces

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "cpp_client"

PROGRAM = """
#include <iostream>
#include "views.hpp"

int main()
{
  const auto request = facerot_cpp_client::make_request({-90.0, 12.5});
  for (const float yaw : request->yaw) {
    std::cout << yaw << ' ';
  }
  std::cout << request->pitch.size() << ' ' << request->grid << '\\n';

  facerot_cpp_client::RotatedFaceArray face;
  face.face_id = "face0";
  face.detection_score = 0.875F;
  face.source_yaw = 0.25F;
  face.views.resize(1);
  face.views[0].applied_yaw = -0.5F;
  face.views[0].seen_fraction = 0.625F;
  face.views[0].image.width = face.views[0].image.height = 256;
  face.views[0].image.encoding = "rgb8";
  facerot_cpp_client::print(std::cout, face);
}
"""

PRINTED = """\
-1.5708 0.218166 1 0
face0: score 0.9, in the photo at yaw 14.3 deg, pitch 0.0 deg
  yaw -28.6 deg, pitch 0.0 deg: 256x256 rgb8, 63 % of the head seen in the photo
"""

pytestmark = pytest.mark.slow


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def prefixes() -> list[Path]:
    """Folders that ROS packages are installed in, with headers in include/."""
    of_interfaces = Path(opendr_facerot_interfaces.__file__).resolve().parents[4]
    given = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [of_interfaces, *(Path(prefix) for prefix in given if prefix)]


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_request_and_answer_in_cpp(tmp_path: Path) -> None:
    source, program = tmp_path / "program.cpp", tmp_path / "program"
    source.write_text(PROGRAM)
    includes = [
        argument
        for prefix in prefixes()
        for folder in sorted((prefix / "include").glob("*/"))
        for argument in ("-isystem", folder)
    ]
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
    run("g++", "-std=c++17", *warnings, "-I", EXAMPLE, *includes, source, "-o", program)
    assert run(program) == PRINTED


@pytest.mark.skipif(
    not any((prefix / "share" / "rclcpp").is_dir() for prefix in prefixes()),
    reason="rclcpp is not installed: it has no wheel, only ROS 2 itself brings it",
)
def test_client_in_cpp(shared: Graph, tmp_path: Path) -> None:
    paths = ";".join(map(str, prefixes()))
    run("cmake", "-S", EXAMPLE, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={paths}")
    run("cmake", "--build", tmp_path)
    shared.connect()
    shared.publish(picture((50, 30)))
    shared.wait(lambda: shared.rotate().success, "the frame to be the latest")
    printed = run(
        tmp_path / "rotate_face_client", "-30", "12.5", "--ros-args", "-r", "__ns:=/shared"
    )
    view = "pitch 0.0 deg: 256x256 rgb8, 50 % of the head seen in the photo"
    face = "score 0.9, in the photo at yaw 14.3 deg, pitch -7.2 deg"
    views = [f"  yaw -30.0 deg, {view}", f"  yaw 12.5 deg, {view}"]
    assert printed.splitlines() == [f"face0: {face}", *views, f"face1: {face}", *views]
