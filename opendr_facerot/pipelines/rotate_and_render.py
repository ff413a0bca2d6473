"""The pipeline of Rotate-and-Render and OpenDR: 3DDFA, a face model's mesh, a generator.

Zhou et al., "Rotate-and-Render: Unsupervised Photorealistic Face Rotation from Single-View Images",
CVPR 2020, in the variant of OpenDR's "Synthetic multi-view facial image generation". It runs on
model files that the user has: see ``facerot weights``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.detect.attention_mesh import MESH_CONFIDENCE, AttentionMesh
from opendr_facerot.detect.mesh_topology import LANDMARKS_68
from opendr_facerot.detect.yunet import FaceDetector
from opendr_facerot.errors import DeviceError, ImageError, NoFaceError, SettingsError

try:
    import torch
except ModuleNotFoundError as missing:
    raise DeviceError(
        "the rotate_and_render pipeline needs PyTorch: pip install 'opendr_facerot[torch]'"
    ) from missing

from opendr_facerot.generate.aligned_crop import image_from_output
from opendr_facerot.generate.checkpoints import load_generator
from opendr_facerot.generate.inference import fast_generator, generate_views
from opendr_facerot.generate.label_mask import mask_lines, needs_mask
from opendr_facerot.generate.landmark_labels import label_from_heat_maps, line_heat_maps
from opendr_facerot.generate.precision import network_dtype
from opendr_facerot.imaging import check_image
from opendr_facerot.pipelines.no_face import no_face_text
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.reconstruct.bfm import MorphableModel
from opendr_facerot.reconstruct.face_parameters import FaceParameters
from opendr_facerot.reconstruct.mobilenet_v1 import MobileNetV1
from opendr_facerot.reconstruct.pose_rules import PoseRule, view_angles
from opendr_facerot.reconstruct.posed_mesh import photo_vertices, turned_vertices
from opendr_facerot.reconstruct.quality import EXTREME_POSE, LOW_RESOLUTION
from opendr_facerot.reconstruct.roi import roi_from_box, roi_from_landmarks
from opendr_facerot.reconstruct.tddfa import Tddfa
from opendr_facerot.render.erosion import Erosion
from opendr_facerot.render.mesh_renderer import RenderedMesh, RenderSettings
from opendr_facerot.render.rasterize import available_backends
from opendr_facerot.render.rotate_render import TexturedFace, render_view, texture_face
from opendr_facerot.render.seen_colours import seen_faces, seen_fraction
from opendr_facerot.render.template_alignment import (
    apply_transform,
    face_crop,
    template_transform,
)
from opendr_facerot.render.torch_ import torch_device
from opendr_facerot.rotator import Background, Face, FittedFace, RotatedFace, RotatorSettings
from opendr_facerot.views import View
from opendr_facerot.weights.installed import installed_weights

NATIVE_SIZE = 256
"""Side of the pictures that the generator makes, pixels."""

_MAX_SEED = 2**32 - 1
_Value = TypeVar("_Value", np.uint8, np.float32)


@dataclass(frozen=True, kw_only=True)
class RotateAndRenderSettings(RotatorSettings):
    """Settings of the pipeline; the defaults are OpenDR's.

    ``fov`` has no effect: the camera is orthographic. The generator paints the background itself;
    ``background`` ``"plate"`` keeps that, the other two cut the picture out along the mesh, which
    is a face without hair and neck.

    Attributes:
        pose_rule: Whose rule turns the angles of a view into a pose: ``"opendr"`` or
            ``"rotate_and_render"``; see :class:`reconstruct.pose_rules.PoseRule`.
        round_radians: Round the angles of views to two decimals of a radian, as both original
            tools do: 10° becomes 0.17 rad, which is 9.74°.
        roi: What the region that 3DDFA looks at is taken from: the ``"landmarks"`` of the
            attention mesh or the box of the ``"detection"``.
        two_step: Let 3DDFA look a second time, at the region around what it found.
        erosion_seed: Seed of the random amount by which the rim of a face is trimmed, drawn as
            NumPy's legacy generator draws after ``numpy.random.seed``; the same for every face.
        heatmap_size: Width of the lines of the generator's label, pixels; Rotate-and-Render's
            demonstration uses 2.5.
        render_backend: What draws the mesh, see :func:`opendr_facerot.render.rasterize.rasterize`;
            ``"auto"`` takes ``"cpu"`` on a CPU and ``"torch"`` elsewhere.
        batch_size: Views generated at once; does not affect the output, only speed and memory.

    Raises:
        SettingsError: A value is outside its range.
    """

    pose_rule: Literal["opendr", "rotate_and_render"] = "opendr"
    round_radians: bool = False
    roi: Literal["landmarks", "detection"] = "landmarks"
    two_step: bool = True
    erosion_seed: int = 0
    heatmap_size: float = 1.0
    render_backend: str = "auto"
    batch_size: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in (
            ("pose_rule", tuple(rule.value for rule in PoseRule)),
            ("roi", ("landmarks", "detection")),
        ):
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}: give {' or '.join(map(repr, choices))}"
                )
        if not 0 <= self.erosion_seed <= _MAX_SEED:
            raise SettingsError(f"erosion_seed is {self.erosion_seed}: give 0 to {_MAX_SEED}")
        if not 0.0 < self.heatmap_size <= NATIVE_SIZE:
            raise SettingsError(
                f"heatmap_size is {self.heatmap_size}: give a width in pixels, > 0, "
                f"at most {NATIVE_SIZE}"
            )
        if self.batch_size < 1:
            raise SettingsError(f"batch_size is {self.batch_size}: give at least 1 view")


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What is known about a face of a photo: :attr:`FittedFace.state` of this pipeline.

    Attributes:
        parameters: 3DDFA's.
        landmarks5: ``(5, 2)`` pixels of the photo that its crop is aligned by: eye centres, base
            of the nose, mouth corners, image-left first.
        model_vertices: ``(N, 3)`` float32, the mesh in model units.
        photo_vertices: ``(N, 3)`` float32, the mesh in the photo: x and y in pixels, z in pixels
            too, larger is nearer.
        textured: The mesh in the crop, with its colours.
        seen: ``(F,)`` bool, triangles whose colour the photo shows.
    """

    parameters: FaceParameters
    landmarks5: NDArray[np.float64]
    model_vertices: NDArray[np.float32]
    photo_vertices: NDArray[np.float32]
    textured: TexturedFace
    seen: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TurnedFace:
    """A face's mesh turned to a view, before the generator.

    Attributes:
        yaw: Head yaw in the picture, radians.
        pitch: Head pitch in the picture, radians.
        roll: Head roll in the picture, radians: the photo's, less what the alignment took away.
        vertices: ``(N, 3)`` float32, pixels of the picture.
        landmarks68: ``(68, 2)`` float32, pixels of the picture.
        picture: The mesh, 256 pixels wide, on black.
    """

    yaw: float
    pitch: float
    roll: float
    vertices: NDArray[np.float32]
    landmarks68: NDArray[np.float32]
    picture: RenderedMesh


@dataclass(frozen=True, eq=False, kw_only=True)
class GeneratedFace(RotatedFace):
    """A view with the landmarks that it was generated around.

    Attributes:
        landmarks68: ``(68, 2)`` float32 pixels of the image, in iBUG's order.
    """

    landmarks68: NDArray[np.float32]


class RotateAndRenderRotator:
    """Pipeline ``rotate_and_render``: detect, reconstruct, rotate, render, generate.

    Implements :class:`opendr_facerot.FaceRotator`. Thread-safe. The generator makes pictures of
    256 pixels; for another ``output_size`` they are resized. The share of a view that was seen is
    that of the mesh's pixels whose triangles the photo shows, outside its trimmed rim; the
    generator repaints those, too.

    Raises:
        DeviceError: PyTorch, the device, its bfloat16 or the render backend is not there.
        WeightsError: The model files are not installed, or damaged.
    """

    Settings = RotateAndRenderSettings

    def __init__(self, settings: RotateAndRenderSettings) -> None:
        self._device = _device(settings.device)
        self.settings = settings
        self._render_settings()
        weights = installed_weights(settings.weights)
        self._model = weights.model
        self._convention = weights.convention
        self._tddfa = Tddfa(
            MobileNetV1.from_state_dict(weights.network),
            weights.whitening,
            weights.model,
            convention=weights.convention,
            device=self._device,
        )
        self._generator = fast_generator(
            load_generator(weights.generator),
            self._device,
            network_dtype(settings.precision, self._device),
        )
        self._detector = FaceDetector()
        self._mesh = AttentionMesh()

    @property
    def device(self) -> str:
        """Where the networks run, ``"cpu"`` or ``"cuda:<index>"``."""
        return str(self._device)

    @property
    def model(self) -> MorphableModel:
        """The face model of the installed weights."""
        return self._model

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        """Find and reconstruct the faces of a photo; see :meth:`FaceRotator.fit`."""
        check_image(image)
        clock, settings = Stopwatch(), self.settings
        with clock("detect"):
            detections = self._detector.detect(
                image, min_score=settings.min_score, min_size=settings.min_face_size
            )
        faces: list[Face] = []
        landmarks: list[NDArray[np.float64]] = []
        with clock("landmarks"):
            for face in detections:
                if settings.max_faces and len(faces) == settings.max_faces:
                    break
                mesh = self._mesh.landmarks(image, face)
                if mesh.confidence >= MESH_CONFIDENCE:
                    faces.append(face)
                    landmarks.append(mesh.points[LANDMARKS_68, :2].astype(np.float64))
        if not faces:
            raise NoFaceError(no_face_text(image, settings))
        rois = (
            [roi_from_box(face.box) for face in faces]
            if settings.roi == "detection"
            else [roi_from_landmarks(points) for points in landmarks]
        )
        return self._fit_faces(image, faces, landmarks, rois, clock)

    def fit_landmarks(
        self, image: NDArray[np.uint8], landmarks68: Sequence[ArrayLike]
    ) -> list[FittedFace]:
        """Reconstruct faces of a photo whose landmarks are known, in the given order.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            landmarks68: For each face its ``(68, 2)`` landmarks of iBUG 300-W, pixels.

        Raises:
            ImageError: The image or the landmarks have the wrong shape, or define no face.
        """
        check_image(image)
        landmarks = [np.asarray(points, np.float64) for points in landmarks68]
        for points in landmarks:
            if points.shape != (68, 2) or not np.isfinite(points).all():
                raise ImageError(
                    f"landmarks have shape {points.shape}: give (68, 2) finite numbers"
                )
        faces = [
            Face(
                np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32),
                1.0,
                points[[36, 45, 30, 48, 54]].astype(np.float32),
            )
            for points in landmarks
        ]
        rois = [roi_from_landmarks(points) for points in landmarks]
        return self._fit_faces(image, faces, landmarks, rois, Stopwatch())

    def reconstruct(
        self, image: NDArray[np.uint8], parameters: FaceParameters, landmarks5: ArrayLike
    ) -> Reconstruction:
        """Texture the mesh of 3DDFA's parameters from a photo.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            parameters: Of a face in it.
            landmarks5: ``(5, 2)``; see :attr:`Reconstruction.landmarks5`.

        Raises:
            ImageError: The landmarks define no face.
        """
        landmarks = np.asarray(landmarks5, np.float64)
        vertices = self._model.vertices(parameters.shape, parameters.expression)
        crop, to_crop = face_crop(image, landmarks, NATIVE_SIZE)
        in_image = photo_vertices(vertices, parameters, self._convention)
        textured = texture_face(
            crop,
            apply_transform(to_crop, in_image),
            self._model.faces,
            Erosion.draw(np.random.RandomState(self.settings.erosion_seed)),
            self._render_settings(),
        )
        seen = seen_faces(textured, _inside(in_image, image))
        return Reconstruction(parameters, landmarks, vertices, in_image, textured, seen)

    def turn(self, face: Reconstruction, view: View) -> TurnedFace:
        """Draw a face's mesh turned to a view and aligned with the template."""
        photo = face.parameters.pose
        yaw, pitch = view_angles(
            photo,
            view.yaw,
            view.pitch,
            rule=PoseRule(self.settings.pose_rule),
            round_radians=self.settings.round_radians,
        )
        in_image = turned_vertices(
            face.model_vertices, face.parameters, yaw, pitch, self._convention
        )
        points = in_image[self._model.alignment_vertices, :2]
        to_template = template_transform(points, NATIVE_SIZE)
        vertices = apply_transform(to_template, in_image)
        # y points down in pictures, so that this is a clockwise turn.
        clockwise = math.atan2(float(to_template[1, 0]), float(to_template[0, 0]))
        return TurnedFace(
            yaw,
            pitch,
            math.remainder(photo.roll - clockwise, math.tau),
            vertices,
            vertices[self._model.keypoints, :2],
            render_view(face.textured, vertices, self._render_settings()),
        )

    def render(self, face: FittedFace, views: Iterable[View]) -> Iterator[GeneratedFace]:
        """Render a fitted face from each view; see :meth:`FaceRotator.render`.

        Views go through the generator in batches: the first of a batch takes the time of all.
        """
        state: Reconstruction = face.state
        remaining = iter(views)
        while batch := list(islice(remaining, self.settings.batch_size)):
            turned = [self.turn(state, view) for view in batch]
            images = self.generate(turned, photo_yaw=state.parameters.pose.yaw)
            for view, mesh, image in zip(batch, turned, images, strict=True):
                yield self._finished(state, view, mesh, image)

    def generate(self, views: Sequence[TurnedFace], *, photo_yaw: float) -> NDArray[np.uint8]:
        """The generator's pictures ``(B, 256, 256, 3)`` RGB of turned meshes.

        Args:
            views: B views, at least one.
            photo_yaw: Head yaw in the photo that the colours come from, radians.
        """
        heat = [
            line_heat_maps(view.landmarks68, NATIVE_SIZE, self.settings.heatmap_size)
            for view in views
        ]
        inputs = [
            mask_lines(
                view.picture.rgb.transpose(2, 0, 1) * np.float32(2.0) - np.float32(1.0),
                maps,
                masked=needs_mask(photo_yaw),
            )
            for view, maps in zip(views, heat, strict=True)
        ]
        labels = np.stack([label_from_heat_maps(maps) for maps in heat])
        return image_from_output(
            generate_views(self._generator, np.stack(inputs), labels, batch_size=len(views))
        )

    def close(self) -> None:
        """Free the models."""
        del self._tddfa, self._generator, self._model, self._detector, self._mesh

    def _fit_faces(
        self,
        image: NDArray[np.uint8],
        faces: Sequence[Face],
        landmarks: Sequence[NDArray[np.float64]],
        rois: Sequence[NDArray[np.float64]],
        clock: Stopwatch,
    ) -> list[FittedFace]:
        with clock("3ddfa"):
            parameters = self._tddfa.fit(image, rois, two_step=self.settings.two_step)
        fitted = []
        for face, points, found in zip(faces, landmarks, parameters, strict=True):
            own = Stopwatch(clock.seconds)
            with own("texture"):
                state = self.reconstruct(image, found, _alignment_points(points))
            pose = found.pose
            fitted.append(
                FittedFace(
                    face=face,
                    yaw=pose.yaw,
                    pitch=pose.pitch,
                    roll=pose.roll,
                    flags=_flags(image, points, pose.yaw, pose.pitch),
                    timings=own.seconds,
                    state=state,
                )
            )
        return fitted

    def _finished(
        self, face: Reconstruction, view: View, turned: TurnedFace, image: NDArray[np.uint8]
    ) -> GeneratedFace:
        settings = self.settings
        size, background = settings.output_size, settings.background
        coverage = _resized(turned.picture.alpha, size)
        seen = seen_fraction(face.textured, face.seen, turned.vertices, self._render_settings())
        scale = size / NATIVE_SIZE
        return GeneratedFace(
            view=view,
            yaw=turned.yaw,
            pitch=turned.pitch,
            roll=turned.roll,
            seen_fraction=seen,
            image=_laid_over(_resized(image, size), coverage, background),
            alpha=_as_bytes(coverage * 255.0) if background == "transparent" else None,
            # Pixel centres are integers, the corners of both images lie half a pixel outside them.
            landmarks68=((turned.landmarks68 + 0.5) * scale - 0.5).astype(np.float32),
        )

    def _render_settings(self) -> RenderSettings:
        backend = self.settings.render_backend
        if backend == "auto":
            backend = "cpu" if self._device.type == "cpu" else "torch"
        if backend not in available_backends():
            raise DeviceError(
                f"there is no render backend {backend!r} here: choose from auto, "
                f"{', '.join(available_backends())}"
            )
        on_device = backend in ("torch", "neural_renderer")
        return RenderSettings(backend=backend, device=self.device if on_device else "cpu")


def _device(name: str) -> torch.device:
    """The torch device of a setting's name.

    Raises:
        DeviceError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise DeviceError(f"the device is {name!r}: give auto, cpu, cuda or cuda:<index>")
    return torch_device("cuda:0" if name == "cuda" else name)


def _alignment_points(landmarks68: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(5, 2)`` points of a photo that the generator's crops were aligned by."""
    eyes = landmarks68[36:42].mean(axis=0), landmarks68[42:48].mean(axis=0)
    return np.stack([*eyes, *landmarks68[[33, 48, 54]]])


def _inside(points: NDArray[np.floating], image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``(N, 2)`` or more coordinates are pixels of the image."""
    height, width = image.shape[:2]
    pixels = np.rint(points[:, :2])
    return np.asarray(((pixels >= 0) & (pixels < (width, height))).all(axis=1))


def _flags(
    image: NDArray[np.uint8], landmarks68: NDArray[np.float64], yaw: float, pitch: float
) -> tuple[str, ...]:
    flags = []
    if np.ptp(landmarks68, axis=0).max() < LOW_RESOLUTION:
        flags.append("low_resolution")
    if max(abs(yaw), abs(pitch)) > EXTREME_POSE:
        flags.append("extreme_source_pose")
    if not _inside(landmarks68, image).all():
        flags.append("cut_by_frame")
    return tuple(flags)


def _resized(image: NDArray[_Value], size: int) -> NDArray[_Value]:
    if len(image) == size:
        return image
    how = cv2.INTER_AREA if size < len(image) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), image.dtype)


def _laid_over(
    image: NDArray[np.uint8], coverage: NDArray[np.float32], background: Background
) -> NDArray[np.uint8]:
    if background in ("plate", "transparent"):
        return image
    behind = np.array(background, np.float32)
    return _as_bytes(behind + coverage[..., None] * (image - behind))


def _as_bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)
