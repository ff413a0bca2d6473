"""The default pipeline: a parametric head with the photo's texture; no download, no GPU."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.attention_mesh import MESH_CONFIDENCE, AttentionMesh
from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.detect.yunet import FaceDetector
from opendr_facerot.errors import DeviceError, ImageError, NoFaceError
from opendr_facerot.filters import pull_push, smoothstep
from opendr_facerot.generate.completion import complete
from opendr_facerot.generate.detail import measure_detail, procedural_detail
from opendr_facerot.generate.foreground import sharpen_foreground, show_inside
from opendr_facerot.generate.hair_detail import continue_hair
from opendr_facerot.generate.hair_texture import BAND_WIDTHS, HairTexture, measure_hair
from opendr_facerot.generate.observation import PersonMaps, person_maps
from opendr_facerot.geometry import MODEL_TO_CAMERA, Intrinsics, rotation_from_euler
from opendr_facerot.imaging import check_image
from opendr_facerot.pipelines.head_state import HeadLook, HeadState, PhotoScenery, ViewFrame
from opendr_facerot.pipelines.no_face import no_face_text
from opendr_facerot.pipelines.person import PersonPhoto, PersonState, reconstruct_person
from opendr_facerot.pipelines.photo_layers import (
    PhotoLayers,
    separate_hair,
    separate_layers,
    separate_person,
)
from opendr_facerot.pipelines.second_thread import SecondThread
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.reconstruct.appearance import squared_distance
from opendr_facerot.reconstruct.head_fit import HeadFit, fit_head, portrait_camera
from opendr_facerot.reconstruct.head_model import PIVOT, HeadModel, HeadSurface
from opendr_facerot.reconstruct.quality import quality_flags
from opendr_facerot.reconstruct.silhouette import fit_silhouette, hide_covered_ears
from opendr_facerot.render.background import fill_background
from opendr_facerot.render.compose import (
    behind_face,
    lay_over,
    over_colour,
    over_plate,
    place_layers,
    show_photo,
    straight_alpha,
    towards_photo,
)
from opendr_facerot.render.neck_turn import turn_on_neck
from opendr_facerot.render.plate import Plate, make_plate
from opendr_facerot.render.projection import view_fragments
from opendr_facerot.render.texture import HeadShader, VertexAppearance
from opendr_facerot.rotator import Face, FittedFace, RotatedFace, RotatorSettings
from opendr_facerot.threads import single_threaded_blas
from opendr_facerot.tracking.face_finder import FaceFinder
from opendr_facerot.tracking.head_tracker import HeadTracker
from opendr_facerot.views import View

_PORTRAIT_FOV = math.radians(35.0)
_HEAD_AXIS = np.array([0.0, 83.0, 4.5])  # a point between the ears, template space
_HAIR_ANGLES = (math.radians(11.0), math.radians(7.0))
"""Turn from the photo's pose below which hair beyond the mesh begins to show, shows fully."""
_SAME_POSE = (math.radians(3.0), math.radians(0.5))
"""Turn from the photo's pose below which the photo begins to take the view's place, takes it."""
_FADE = ((0.06, 0.35), (0.45, 0.85))
"""Neck weight over which a head dissolves into the body below it: in front, at the nape."""
_NAPE_DEPTH = (7.0, 2.0)  # template space; a collar stands higher behind the neck than before it


class HeadRotator:
    """Pipeline ``head``: detect, reconstruct, complete, rotate, render.

    Implements :class:`opendr_facerot.FaceRotator`. Thread-safe.

    Raises:
        DeviceError: The settings ask for another device than the CPU.
        WeightsError: A packaged model file is missing.
    """

    Settings = RotatorSettings

    def __init__(self, settings: RotatorSettings) -> None:
        if settings.device not in ("auto", "cpu"):
            raise DeviceError(
                f"the head pipeline runs on the CPU, not on {settings.device!r}: use 'cpu'"
            )
        self.settings = settings
        self._detector = FaceDetector()
        self._mesh = AttentionMesh()
        self._matting = PersonMatting()
        self._model = HeadModel.load()
        self._second = SecondThread()
        surface = self._model.fine
        coverage = _coverage(surface)
        self._shader = HeadShader(surface.topology, coverage)
        self._compile_kernels()

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        """Find and reconstruct the faces of a photo; see :meth:`FaceRotator.fit`."""
        check_image(image)
        clock = Stopwatch()
        settings = self.settings
        with clock("detect"):
            faces = self._detector.detect(
                image, min_score=settings.min_score, min_size=settings.min_face_size
            )
        fitted: list[FittedFace] = []
        with single_threaded_blas():
            for face in faces:
                if settings.max_faces and len(fitted) == settings.max_faces:
                    break
                one = self._fit_face(image, face, dict(clock.seconds))
                if one is not None:
                    fitted.append(one)
        if not fitted:
            raise NoFaceError(no_face_text(image, settings))
        return fitted

    def fit_person(self, images: Sequence[NDArray[np.uint8]]) -> FittedFace:
        """Reconstruct one person from several photos; see :meth:`PersonRotator.fit_person`."""
        if not images:
            raise ImageError("no photos are given: give at least one of the person")
        if len(images) == 1:
            return self.fit(images[0])[0]
        clock = Stopwatch()
        photos: list[PersonPhoto] = []
        with single_threaded_blas():
            for index, image in enumerate(images):
                name = f"photo {index + 1} of {len(images)}"
                check_image(image, name)
                found = self._largest_face(image, clock)
                if found is None:
                    raise NoFaceError(f"{name}: {no_face_text(image, self.settings)}", index)
                face, landmarks = found
                camera = self._photo_camera(image, landmarks)
                layers = separate_layers(image, landmarks, camera, self._matting, clock)
                photos.append(PersonPhoto(face, landmarks, camera, layers))
            head = reconstruct_person(self._model, photos, clock)
            main, home = photos[head.primary], head.homes[0]
            with clock("plate"):
                background = fill_background(main.layers.work, main.layers.matte)
            scenery = self._scenery(head.fit, home.vertices, main.layers, background, clock)
        pivot = head.fit.rotation @ PIVOT + head.fit.translation
        yaw, pitch, roll = head.fit.angles
        disagree = () if head.agree else ("photos_disagree",)
        return FittedFace(
            face=main.face,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            flags=_flags(main.layers, yaw, pitch) + disagree,
            timings=clock.seconds,
            state=PersonState(head.fit, home.vertices, pivot, home.appearance, scenery, head.homes),
            photo_index=head.primary,
        )

    def render(self, face: FittedFace, views: Iterable[View]) -> Iterator[RotatedFace]:
        """Render a fitted face from each view; see :meth:`FaceRotator.render`."""
        state: HeadState = face.state
        size, background = self.settings.output_size, self.settings.background
        frame = state.scenery.frame(size)
        for view in views:
            yaw, pitch, roll = _applied_angles(face, view)
            rotation = state.fit.seen_from @ MODEL_TO_CAMERA @ rotation_from_euler(yaw, pitch, roll)
            turn = np.asarray(cv2.Rodrigues(rotation @ state.fit.rotation.T)[0].ravel())
            looks = state.looks(rotation)
            head, seen = self._shade(looks[0], state.pivot, turn, frame)
            for look in looks[1:]:
                other, other_seen = self._shade(look, state.pivot, turn, frame)
                head += np.float32(look.share) * (other - head)
                seen += look.share * (other_seen - seen)
            # Hardly turned, hair beyond the mesh's outline still looks as in the photo.
            if loose := float(smoothstep(*_HAIR_ANGLES, np.linalg.norm(turn))):
                layer = frame.person if background == "plate" else frame.hair
                head = lay_over(head, layer, loose)
            # The photo's own pose is the photo itself.
            same = float(smoothstep(*_SAME_POSE, np.linalg.norm(turn)))
            if same:
                head = show_photo(head, frame.photo, frame.person[..., 3], same)
            alpha = None
            if background == "plate":
                # Clothing is in front of the neck, but a chin turned to the shoulder before it.
                outline = self._face_outline(looks[0].vertices, state.pivot, turn, frame)
                picture = over_plate(head, frame.behind, behind_face(frame.collar, outline))
                if same:
                    picture = towards_photo(picture, frame.photo, same)
            elif background == "transparent":
                picture, alpha = straight_alpha(head)
            else:
                picture = over_colour(head, background)
            yield RotatedFace(view, yaw, pitch, roll, seen, picture, alpha)

    def _shade(
        self,
        look: HeadLook,
        pivot: NDArray[np.floating],
        turn: NDArray[np.floating],
        frame: ViewFrame,
    ) -> tuple[NDArray[np.float32], float]:
        """One picture of the head, turned by a rotation vector; see :meth:`HeadShader.shade`."""
        share = self._model.fine.zones.neck_weight
        vertices = turn_on_neck(look.vertices, share, pivot, turn)
        detail = look.appearance.detail.chart_for(frame.samples_per_cm)
        return self._shader.shade(look.appearance, vertices, frame.camera, frame.size, detail)

    def _face_outline(
        self,
        vertices: NDArray[np.floating],
        pivot: NDArray[np.floating],
        turn: NDArray[np.floating],
        frame: ViewFrame,
    ) -> NDArray[np.floating]:
        """Points ``(468, 2)`` of the turned face, pixels of the view."""
        face = self._model.landmarks(vertices[: len(self._model.mean)])
        return frame.camera.project((face - pivot) @ cv2.Rodrigues(turn)[0].T + pivot)

    def track(self, *, real_time: bool = False) -> HeadTracker:
        """A tracker for one stream; see :meth:`TrackingRotator.track`."""
        finder = FaceFinder(self._detector, self._mesh)
        return HeadTracker(
            finder,
            self._model,
            self._matting,
            self._reconstruct,
            lambda: self.settings,
            self._camera,
            real_time=real_time,
        )

    def close(self) -> None:
        """Free the models."""
        self._second.close()
        del self._detector, self._mesh, self._matting, self._model

    def _compile_kernels(self) -> None:
        """Compile the kernels, or load them from the cache, before a photo needs them."""
        surface = self._model.fine
        count = len(surface.vertices)
        blank = VertexAppearance(
            foreground=np.zeros((2, 2, 3), np.uint8),
            photo_xy=np.zeros((count, 2), np.float32),
            confidence=np.zeros(count, np.float32),
            second_xy=np.zeros((count, 2), np.float32),
            second_confidence=np.zeros(count, np.float32),
            second_cosine=np.zeros(count, np.float32),
            second_visible=np.zeros(count, np.float32),
            second_correction=np.zeros((count, 3), np.float32),
            fill=np.zeros((count, 3), np.float32),
            hair=np.zeros(count, np.float32),
            detail_xy=np.zeros((count, 2), np.float32),
            detail=procedural_detail(np.zeros(3, np.float32)),
            source_cosine=np.zeros(count, np.float32),
            visible=np.zeros(count, np.float32),
        )
        vertices = (surface.vertices - PIVOT) @ MODEL_TO_CAMERA + [0.0, 0.0, 100.0]
        camera = Intrinsics(100.0, 31.5, 31.5)
        vertices = turn_on_neck(vertices, surface.zones.neck_weight, PIVOT, np.ones(3))
        head, _ = self._shader.shade(blank, vertices, camera, 64, blank.detail.chart)
        layer = np.zeros((64, 64, 4), np.uint8)
        front = (surface.vertices[:, 2] > 5.0).astype(np.float32)
        hairy = replace(blank, hair=np.ones(count, np.float32), confidence=front)
        for strands in (False, True):
            deviation = np.zeros(len(BAND_WIDTHS), np.float32)
            hair = HairTexture(np.zeros(3), deviation, 0.0, narrow=False, strands=strands)
            continue_hair(self._model, hairy, front, hair, 1.0)
        over_plate(lay_over(head, layer), layer[..., :3].copy(), layer)
        over_colour(head, (0, 0, 0))
        straight_alpha(head)
        colours = layer[..., :3].copy()
        plate = Plate(colours, layer, layer, layer, colours, colours, 1.0, np.zeros(2))
        place_layers(plate, 2.0, np.zeros(2), 64)
        image, ones = np.zeros((4, 4, 4), np.float32), np.ones(count)
        pull_push(image, image[..., 0].copy())
        show_inside(colours, image[..., 0].copy(), colours.copy())
        squared_distance(image, image[0, :1], ones[:4])
        surface.topology.smooth_field(ones, ones)
        surface.topology.neighbour_min(ones)
        surface.topology.vertex_normals(vertices)

    def _camera(self, width: int, height: int) -> Intrinsics:
        return Intrinsics.from_fov(width, height, self.settings.fov or _PORTRAIT_FOV)

    def _photo_camera(
        self, image: NDArray[np.uint8], landmarks: NDArray[np.floating]
    ) -> Intrinsics:
        """Camera of a photo, which may be cropped; that of a stream shows all it sees."""
        camera = self._camera(image.shape[1], image.shape[0])
        if self.settings.fov:
            return camera
        return portrait_camera(self._model, landmarks, camera)

    def _largest_face(
        self, image: NDArray[np.uint8], clock: Stopwatch
    ) -> tuple[Face, NDArray[np.float32]] | None:
        """The largest face of a photo with its landmarks."""
        with clock("detect"):
            faces = self._detector.detect(
                image, min_score=self.settings.min_score, min_size=self.settings.min_face_size
            )
        with clock("landmarks"):
            for face in faces:
                mesh = self._mesh.landmarks(image, face)
                if mesh.confidence >= MESH_CONFIDENCE:
                    return face, mesh.points
        return None

    def _fit_face(
        self,
        image: NDArray[np.uint8],
        face: Face,
        seconds: dict[str, float],
    ) -> FittedFace | None:
        """Reconstruct one detected face; None if a closer look finds none."""
        clock = Stopwatch(seconds)
        with clock("landmarks"):
            mesh = self._mesh.landmarks(image, face)
        if mesh.confidence < MESH_CONFIDENCE:
            return None
        camera = self._photo_camera(image, mesh.points)
        return self._reconstruct(image, face, mesh.points, camera, clock)

    def _reconstruct(
        self,
        image: NDArray[np.uint8],
        face: Face,
        landmarks: NDArray[np.floating],
        intrinsics: Intrinsics,
        clock: Stopwatch,
    ) -> FittedFace:
        """Reconstruct one face whose landmarks are known."""
        model, beside = self._model, self._second.start
        person_found = beside(
            lambda: separate_person(image, landmarks, intrinsics, self._matting, clock)
        )
        with clock("fit"):
            fit = fit_head(model, landmarks, intrinsics)
            vertices = model.refine(fit.vertices)
        person = person_found()
        work, matte, foreground = person.work, person.matte, person.foreground

        hair_found = beside(lambda: separate_hair(person, clock))
        with clock("plate"):
            background = fill_background(work, matte)
        with clock("completion"):
            texture = sharpen_foreground(person.photo, foreground, person.interior)
        look = hair_found()

        layers = PhotoLayers(**vars(person), look=look)
        yaw, pitch, roll = fit.angles

        def prepare() -> tuple[
            tuple[str, ...], NDArray[np.float32], HairTexture | None, PersonMaps
        ]:
            with clock("maps"):
                flags = _flags(layers, yaw, pitch)
                level = measure_detail(person.photo, texture, look)
                hair = measure_hair(person.photo, texture, person.interior, look)
                return flags, level, hair, person_maps(work, matte, foreground, person.interior)

        prepared = beside(prepare)
        with clock("silhouette"):
            vertices, hair_zone = hide_covered_ears(
                model, vertices, fit.rotation, work, matte, look
            )
            vertices = fit_silhouette(model, vertices, fit.rotation, work, matte, look, hair_zone)
        flags, detail_level, hair_texture, maps = prepared()

        scenery_found = beside(lambda: self._scenery(fit, vertices, layers, background, clock))
        with clock("completion"):
            appearance = complete(
                model,
                vertices,
                person.photo,
                work,
                matte,
                maps,
                look,
                hair_zone,
                texture=texture,
                detail_level=detail_level,
                hair_texture=hair_texture,
            )
        scenery = scenery_found()
        pivot = fit.rotation @ PIVOT + fit.translation
        return FittedFace(
            face=face,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            flags=flags,
            timings=clock.seconds,
            state=HeadState(fit, vertices, pivot, appearance, scenery),
        )

    def _scenery(
        self,
        fit: HeadFit,
        vertices: NDArray[np.floating],
        layers: PhotoLayers,
        background: NDArray[np.float32],
        clock: Stopwatch,
    ) -> PhotoScenery:
        """What the photo shows besides the head that has these vertices ``(V, 3)`` in it.

        Args:
            fit: The head model in the photo.
            vertices: ``(V, 3)`` fine vertices, camera space.
            layers: The photo, taken apart.
            background: See :func:`fill_background`.
            clock: Counts the time for the stage ``"plate"``.
        """
        with clock("plate"):
            work, turning = layers.work, self._model.turning_faces
            fragments = view_fragments(vertices, turning, work.intrinsics, len(work.image))
            covered = np.asarray(fragments.face_index >= 0)
            plate = make_plate(
                work, layers.matte, layers.foreground, layers.look, background, covered
            )
            # A face that is turned away lies beside the head's axis, which all views share.
            axis = work.intrinsics.project((fit.rotation @ _HEAD_AXIS + fit.translation)[None])
            return PhotoScenery(work, plate, np.array([axis[0, 0], work.centre[1]]))


def _coverage(surface: HeadSurface) -> NDArray[np.floating]:
    """Opacity ``(V,)`` of a head that ends in the body below its neck."""
    nape = smoothstep(*_NAPE_DEPTH, surface.vertices[:, 2])
    front, back = (smoothstep(*limits, surface.zones.neck_weight) for limits in _FADE)
    return np.asarray(front + nape * (back - front))


def _applied_angles(face: FittedFace, view: View) -> tuple[float, float, float]:
    """Yaw, pitch and roll to render: upright, unless the view keeps an angle of the photo."""
    yaw = face.yaw if view.yaw is None else view.yaw
    pitch = face.pitch if view.pitch is None else view.pitch
    roll = face.roll if view.yaw is None or view.pitch is None else 0.0
    return yaw, pitch, roll


def _flags(layers: PhotoLayers, yaw: float, pitch: float) -> tuple[str, ...]:
    return quality_flags(layers.work, layers.found, layers.look, yaw, pitch)
