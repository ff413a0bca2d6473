"""Detection and landmarks, on a portrait whose points were read off by eye."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.assets import asset_path
from opendr_facerot.detect import mesh_topology as topology
from opendr_facerot.detect.attention_mesh import AttentionMesh, MeshLandmarks
from opendr_facerot.detect.sessions import inference_session
from opendr_facerot.detect.yunet import (
    STRIDES,
    FaceDetector,
    decode,
    non_maximum_suppression,
)
from opendr_facerot.errors import ImageError, WeightsError
from opendr_facerot.rotator import Face

# Read off test/data/astronaut.png at eight times its size.
RIGHT_PUPIL, LEFT_PUPIL = (203.2, 100.7), (246.5, 103.2)
NOSE_TIP = (223.5, 128.0)
RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER = (202.5, 139.5), (244.5, 141.0)
CHIN = (221.0, 178.0)
EYE_DISTANCE = math.dist(RIGHT_PUPIL, LEFT_PUPIL)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def mesh_net() -> AttentionMesh:
    return AttentionMesh()


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    path = Path(__file__).parent / "data" / "astronaut.png"
    image = cv2.imread(str(path))
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1])


@pytest.fixture(scope="module")
def portrait_mesh(
    detector: FaceDetector, mesh_net: AttentionMesh, portrait: NDArray[np.uint8]
) -> MeshLandmarks:
    return mesh_net.landmarks(portrait, only_face(detector, portrait))


def only_face(detector: FaceDetector, image: NDArray[np.uint8], min_size: float = 12) -> Face:
    faces = detector.detect(image, min_score=0.6, min_size=min_size)
    assert len(faces) == 1
    return faces[0]


def mean_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean())


class TestFaceDetector:
    def test_box_and_landmarks_of_a_portrait(
        self, detector: FaceDetector, portrait: NDArray[np.uint8]
    ) -> None:
        face = only_face(detector, portrait)
        assert face.score > 0.9
        left, top, right, bottom = face.box
        # From ear to ear, and from the fringe, somewhere, to the chin.
        assert (left, right) == pytest.approx((179, 268), abs=6)
        assert 55 < top < 85
        assert bottom == pytest.approx(CHIN[1], abs=6)
        expected = np.array(
            [RIGHT_PUPIL, LEFT_PUPIL, NOSE_TIP, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]
        )
        assert np.linalg.norm(face.landmarks5 - expected, axis=1).max() < 0.15 * EYE_DISTANCE

    def test_image_left_comes_first(
        self, detector: FaceDetector, portrait: NDArray[np.uint8]
    ) -> None:
        x = only_face(detector, portrait).landmarks5[:, 0]
        assert x[0] < x[2] < x[1]
        assert x[3] < x[2] < x[4]

    def test_same_as_opencv_on_the_same_net(
        self, detector: FaceDetector, portrait: NDArray[np.uint8]
    ) -> None:
        face = only_face(detector, portrait)
        opencv = cv2.FaceDetectorYN.create(
            str(asset_path("face_detection_yunet.onnx")), "", portrait.shape[1::-1], 0.6
        )
        _, rows = opencv.detect(np.ascontiguousarray(portrait[..., ::-1]))
        assert len(rows) == 1
        x, y, width, height = rows[0][:4]
        assert face.box == pytest.approx(np.array([x, y, x + width, y + height]), abs=0.01)
        assert face.landmarks5.ravel() == pytest.approx(rows[0][4:14], abs=0.01)
        assert face.score == pytest.approx(rows[0][14], abs=1e-4)

    def test_two_faces_largest_first(
        self, detector: FaceDetector, portrait: NDArray[np.uint8]
    ) -> None:
        larger = cv2.resize(portrait[:341, :341], (512, 512), interpolation=cv2.INTER_CUBIC)
        faces = detector.detect(np.hstack([portrait, larger]), min_score=0.6, min_size=24)
        assert len(faces) == 2
        eyes = [face.landmarks5[:2].mean(0) for face in faces]
        middle = (np.array(RIGHT_PUPIL) + LEFT_PUPIL) / 2
        assert eyes[0] == pytest.approx((middle + 0.5) * (512 / 341) - 0.5 + [512, 0], abs=6)
        assert eyes[1] == pytest.approx(middle, abs=4)

    def test_small_face_in_a_video_frame(
        self, detector: FaceDetector, portrait: NDArray[np.uint8]
    ) -> None:
        frame = np.full((720, 1280, 3), 90, np.uint8)
        scale = 0.25  # the face is 25 pixels high
        small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frame[300 : 300 + small.shape[0], 900 : 900 + small.shape[1]] = small
        face = only_face(detector, frame)
        expected = (np.array(NOSE_TIP) + 0.5) * scale - 0.5 + [900, 300]
        assert face.landmarks5[2] == pytest.approx(expected, abs=1.5)

    @pytest.mark.parametrize("side", [96, 300, 1200, 4000])
    def test_face_that_fills_the_frame(
        self, detector: FaceDetector, portrait: NDArray[np.uint8], side: int
    ) -> None:
        close_up = cv2.resize(portrait[68:182, 168:282], (side, side))
        face = only_face(detector, close_up)
        scale = side / 114
        expected = (np.array([RIGHT_PUPIL, LEFT_PUPIL]) - [168, 68] + 0.5) * scale - 0.5
        error = np.linalg.norm(face.landmarks5[:2] - expected, axis=1).max()
        assert error < 0.15 * EYE_DISTANCE * scale
        assert face.box.min() >= 0
        assert face.box.max() <= side - 1

    @pytest.mark.parametrize("turns", [1, 2, 3])
    def test_portrait_on_its_side(
        self, detector: FaceDetector, portrait: NDArray[np.uint8], turns: int
    ) -> None:
        upright = only_face(detector, portrait)
        face = only_face(detector, np.ascontiguousarray(np.rot90(portrait, turns)))
        landmarks = upright.landmarks5
        for _ in range(turns):  # (x, y) of a 512-pixel square, a quarter counter-clockwise
            landmarks = np.stack([landmarks[:, 1], 511 - landmarks[:, 0]], axis=1)
        assert mean_distance(face.landmarks5, landmarks) < 0.02 * EYE_DISTANCE

    def test_no_face(self, detector: FaceDetector, portrait: NDArray[np.uint8]) -> None:
        suit = np.ascontiguousarray(portrait[250:, :300])
        noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
        for image in (suit, noise, np.zeros((64, 48, 3), np.uint8)):
            assert detector.detect(image, min_score=0.6, min_size=1) == []

    def test_thresholds(self, detector: FaceDetector, portrait: NDArray[np.uint8]) -> None:
        face = only_face(detector, portrait)
        side = float((face.box[2:] - face.box[:2]).max())
        assert len(detector.detect(portrait, min_score=face.score - 0.01, min_size=side - 1)) == 1
        assert detector.detect(portrait, min_score=0.6, min_size=side + 1) == []
        assert detector.detect(portrait, min_score=face.score + 0.03, min_size=1) == []

    @pytest.mark.parametrize("shape", [(17, 400), (401, 33), (16, 16)])
    def test_any_size(self, detector: FaceDetector, shape: tuple[int, int]) -> None:
        image = np.full((*shape, 3), 128, np.uint8)
        assert detector.detect(image, min_score=0.6, min_size=1) == []

    def test_wrong_image(self, detector: FaceDetector) -> None:
        with pytest.raises(ImageError, match="float64"):
            detector.detect(np.zeros((64, 64, 3)), min_score=0.6, min_size=1)  # type: ignore[arg-type]


class TestDecode:
    def test_same_as_a_loop_over_the_cells(self) -> None:
        width, height, min_score = 96, 64, 0.7
        random = np.random.default_rng(1)
        cells = [(width // stride) * (height // stride) for stride in STRIDES]
        classes, objectness = (
            [random.uniform(-0.1, 1.1, (1, n, 1)).astype(np.float32) for n in cells]
            for _ in range(2)
        )
        boxes, points = (
            [random.normal(0, 1, (1, n, k)).astype(np.float32) for n in cells] for k in (4, 10)
        )
        expected = []
        for k, stride in enumerate(STRIDES):
            for row in range(height // stride):
                for column in range(width // stride):
                    cell = row * (width // stride) + column
                    a = min(max(float(classes[k][0, cell, 0]), 0.0), 1.0)
                    b = min(max(float(objectness[k][0, cell, 0]), 0.0), 1.0)
                    if math.sqrt(a * b) < min_score:
                        continue
                    dx, dy, log_w, log_h = boxes[k][0, cell].tolist()
                    x, y = (column + dx) * stride, (row + dy) * stride
                    w, h = math.exp(log_w) * stride, math.exp(log_h) * stride
                    landmarks = []
                    for j in range(5):
                        landmarks.append((points[k][0, cell, 2 * j] + column) * stride)
                        landmarks.append((points[k][0, cell, 2 * j + 1] + row) * stride)
                    box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    expected.append([*box, math.sqrt(a * b), *landmarks])
        found = decode([*classes, *objectness, *boxes, *points], width, min_score)
        actual = np.column_stack([found.boxes, found.scores, found.landmarks5.reshape(-1, 10)])
        assert len(expected) > 10
        assert actual == pytest.approx(np.array(expected), rel=1e-4, abs=1e-3)

    def test_suppression_same_as_a_loop_over_pairs(self) -> None:
        random = np.random.default_rng(2)
        corner = random.uniform(0, 100, (60, 2))
        boxes = np.hstack([corner, corner + random.uniform(5, 50, (60, 2))])
        scores = random.permutation(60) / 60.0

        def overlap(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
            w = min(a[2], b[2]) - max(a[0], b[0])
            h = min(a[3], b[3]) - max(a[1], b[1])
            smaller = min((q[2] - q[0]) * (q[3] - q[1]) for q in (a, b))
            return max(w, 0.0) * max(h, 0.0) / smaller

        expected: list[int] = []
        for k in sorted(range(60), key=lambda k: -scores[k]):
            if all(overlap(boxes[k], boxes[j]) <= 0.4 for j in expected):
                expected.append(k)
        assert 5 < len(expected) < 55
        assert non_maximum_suppression(boxes, scores, 0.4).tolist() == expected


class TestAttentionMesh:
    def test_points_of_a_portrait(self, portrait_mesh: MeshLandmarks) -> None:
        assert portrait_mesh.points.shape == (478, 3)
        assert portrait_mesh.confidence > 0.99
        for point, (x, y), tolerance in (
            (topology.RIGHT_IRIS[0], RIGHT_PUPIL, 1.0),
            (topology.LEFT_IRIS[0], LEFT_PUPIL, 1.0),
            (topology.LIPS_OUTER[0], RIGHT_MOUTH_CORNER, 2.0),
            (topology.LIPS_OUTER[10], LEFT_MOUTH_CORNER, 2.0),
            (152, CHIN, 3.0),
        ):
            assert portrait_mesh.points[point, :2] == pytest.approx((x, y), abs=tolerance)

    def test_landmarks68_are_where_their_names_say(self, portrait_mesh: MeshLandmarks) -> None:
        points = portrait_mesh.points[topology.LANDMARKS_68, :2]
        assert points[8] == pytest.approx(CHIN, abs=3)
        assert points[36:42].mean(0) == pytest.approx(RIGHT_PUPIL, abs=2)
        assert points[42:48].mean(0) == pytest.approx(LEFT_PUPIL, abs=2)
        assert points[48] == pytest.approx(RIGHT_MOUTH_CORNER, abs=2)
        assert points[54] == pytest.approx(LEFT_MOUTH_CORNER, abs=2)
        assert (np.diff(points[0:9, 1]) > 0).all()  # the jaw, down to the chin
        assert (np.diff(points[8:17, 1]) < 0).all()  # and up again
        assert (np.diff(points[2:15, 0]) > 0).all()  # from image left to image right
        assert (np.diff(points[17:27, 0]) > 0).all()  # the brows
        assert (np.diff(points[27:31, 1]) > 0).all()  # the bridge of the nose, downwards

    def test_smaller_z_is_nearer(self, portrait_mesh: MeshLandmarks) -> None:
        z = portrait_mesh.points[:, 2]
        nose, eyes, ears = z[1], z[topology.RIGHT_EYE_CONTOUR].mean(), z[[234, 454]].mean()
        assert nose < eyes - 0.2 * EYE_DISTANCE
        assert eyes < ears - 0.3 * EYE_DISTANCE

    def test_irises_lie_in_the_eyes(self, portrait_mesh: MeshLandmarks) -> None:
        points = portrait_mesh.points
        for iris, contour in (
            (topology.RIGHT_IRIS, topology.RIGHT_EYE_CONTOUR),
            (topology.LEFT_IRIS, topology.LEFT_EYE_CONTOUR),
        ):
            outline = points[contour, :2]
            centre = (float(points[iris[0], 0]), float(points[iris[0], 1]))
            assert cv2.pointPolygonTest(outline, centre, False) > 0
            assert points[iris, 2] == pytest.approx(points[contour, 2].mean(), abs=1e-3)

    @pytest.mark.parametrize("roll_deg", [-90, -35, 20, 60, 90, 180])
    def test_rolled_face(
        self,
        detector: FaceDetector,
        mesh_net: AttentionMesh,
        portrait: NDArray[np.uint8],
        portrait_mesh: MeshLandmarks,
        roll_deg: int,
    ) -> None:
        turn = cv2.getRotationMatrix2D((255.5, 255.5), roll_deg, 1.0)
        turned = cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        found = mesh_net.landmarks(turned, only_face(detector, turned)).points
        expected = portrait_mesh.points[:, :2] @ turn[:, :2].T + turn[:, 2]
        assert mean_distance(found[:, :2], expected) < 0.02 * EYE_DISTANCE
        assert np.abs(found[:, 2] - portrait_mesh.points[:, 2]).mean() < 0.05 * EYE_DISTANCE

    def test_large_and_small_pictures_agree(
        self,
        detector: FaceDetector,
        mesh_net: AttentionMesh,
        portrait: NDArray[np.uint8],
        portrait_mesh: MeshLandmarks,
    ) -> None:
        large = cv2.resize(portrait, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
        found = mesh_net.landmarks(large, only_face(detector, large)).points
        expected = (portrait_mesh.points[:, :2] + 0.5) * 5 - 0.5
        assert mean_distance(found[:, :2], expected) < 0.02 * EYE_DISTANCE * 5
        # A shift of half a pixel between conventions would pass the line above.
        shift = (found[:, :2] - expected).mean(0)
        assert np.abs(shift).max() < 0.01 * EYE_DISTANCE * 5

    def test_a_box_that_is_off_hardly_matters(
        self,
        detector: FaceDetector,
        mesh_net: AttentionMesh,
        portrait: NDArray[np.uint8],
        portrait_mesh: MeshLandmarks,
    ) -> None:
        face = only_face(detector, portrait)
        side = float((face.box[2:] - face.box[:2]).max())
        shifted = Face(face.box + np.float32(0.15 * side), face.score, face.landmarks5)
        found = mesh_net.landmarks(portrait, shifted)
        assert mean_distance(found.points[:, :2], portrait_mesh.points[:, :2]) < (
            0.02 * EYE_DISTANCE
        )

    @pytest.mark.parametrize("roll_deg", [0, 30])
    @pytest.mark.parametrize("size", [120, 512])
    def test_more_passes_change_nothing(
        self,
        detector: FaceDetector,
        mesh_net: AttentionMesh,
        portrait: NDArray[np.uint8],
        size: int,
        roll_deg: int,
    ) -> None:
        turn = cv2.getRotationMatrix2D((255.5, 255.5), roll_deg, 1.0)
        turned = cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        image = cv2.resize(turned, (size, size), interpolation=cv2.INTER_AREA)
        found = mesh_net.landmarks(image, only_face(detector, image)).points
        settled = found
        for _ in range(4):
            settled = mesh_net.follow(image, settled).points
        eye_distance = EYE_DISTANCE * size / 512
        assert mean_distance(found[:, :2], settled[:, :2]) < 0.015 * eye_distance

    def test_low_confidence_without_a_face(
        self, mesh_net: AttentionMesh, portrait: NDArray[np.uint8]
    ) -> None:
        suit = Face(
            np.array([100, 300, 200, 400], np.float32),
            1.0,
            np.array([[125, 330], [175, 330], [150, 350], [130, 375], [170, 375]], np.float32),
        )
        assert mesh_net.landmarks(portrait, suit).confidence < 0.5


class TestTopology:
    def test_contours_are_closed_loops_without_repeats(self) -> None:
        for contour in (
            topology.FACE_OVAL,
            topology.LIPS_OUTER,
            topology.LIPS_INNER,
            topology.RIGHT_EYE_CONTOUR,
            topology.LEFT_EYE_CONTOUR,
        ):
            assert len(set(contour.tolist())) == len(contour)

    def test_contours_are_refined_ones(self) -> None:
        assert set(topology.LIPS_OUTER) | set(topology.LIPS_INNER) <= set(topology.REFINED_LIPS)
        assert set(topology.RIGHT_EYE_CONTOUR) <= set(topology.REFINED_RIGHT_EYE)
        assert set(topology.LEFT_EYE_CONTOUR) <= set(topology.REFINED_LEFT_EYE)

    def test_left_mirrors_right(self) -> None:
        with np.load(asset_path("canonical_face.npz")) as canonical:
            points = canonical["vertices"]
        for right, left in (
            (topology.RIGHT_EYE_CONTOUR, topology.LEFT_EYE_CONTOUR),
            (topology.REFINED_RIGHT_EYE, topology.REFINED_LEFT_EYE),
        ):
            assert points[left] == pytest.approx(points[right] * [-1, 1, 1], abs=1e-4)
            assert (points[left, 0] > 0).all()

    def test_constants_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            topology.FACE_OVAL[0] = 0


def test_session_of_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(asset_path("selfie_segmentation.onnx").read_bytes()[:1000])
    monkeypatch.setattr("opendr_facerot.detect.sessions.asset_path", lambda name: damaged)
    with pytest.raises(WeightsError, match="damaged.onnx"):
        inference_session("selfie_segmentation.onnx")
