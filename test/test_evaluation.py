"""``facerot evaluate`` as a whole: against known answers, and on one photo."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.cli import main
from opendr_facerot.errors import ImageError
from opendr_facerot.evaluation.alignment import warp
from opendr_facerot.evaluation.identity import IdentityNet
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.posed import TrueView, evaluate_posed
from opendr_facerot.evaluation.runner import Evaluation
from opendr_facerot.evaluation.sequences import evaluate_sequence
from opendr_facerot.geometry import SimilarityTransform
from opendr_facerot.imaging import write_image
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.rotator import FittedFace, RotatedFace, RotatorSettings
from opendr_facerot.views import View, view_grid

PHOTO = Path(__file__).parent / "data" / "astronaut.png"
GREY = (110, 110, 110)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def observer() -> FaceObserver:
    return FaceObserver()


@pytest.fixture(scope="module")
def identity() -> IdentityNet:
    return IdentityNet()


@pytest.fixture(scope="module")
def true_views(astronaut: NDArray[np.uint8]) -> list[TrueView]:
    """A posed head that is known to the last pixel: views of one, before a grey background."""
    rotator = HeadRotator(RotatorSettings(output_size=512, background=GREY))
    views = view_grid((-30.0, 0.0, 30.0), degrees=True)
    rendered = rotator.render(rotator.fit(astronaut)[0], views)
    return [TrueView(view.view.yaw or 0.0, 0.0, view.image) for view in rendered]


class Oracle:
    """A pipeline that knows the true views, and shows them in a frame of its own.

    Its frame is that of the true views, enlarged and shifted; ``worse`` spoils its pictures.
    """

    Settings = RotatorSettings
    device = "cpu"
    frame = SimilarityTransform(1.9, np.eye(2), np.array([7.4, -3.2]))

    def __init__(self, views: list[TrueView], observer: FaceObserver, worse: str = "") -> None:
        self.settings = RotatorSettings()
        self._views, self._observer, self._worse = views, observer, worse

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        found = self._observer.observe(image)
        assert found is not None
        return [FittedFace(found.face, 0.0, 0.0, 0.0)]

    def render(self, face: FittedFace, views: Iterable[View]) -> Iterator[RotatedFace]:
        for view in views:
            yaw = view.yaw or 0.0
            if self._worse == "mirrored":
                yaw = -yaw
            (true,) = [t for t in self._views if math.isclose(t.yaw, yaw, abs_tol=1e-6)]
            covered = (np.abs(true.image.astype(int) - GREY).max(axis=2) > 12).astype(np.uint8)
            if self._worse == "holed":
                covered[:, 256:] = 0
            size = (self.settings.output_size,) * 2
            image, alpha = (warp(layer, self.frame, size) for layer in (true.image, 255 * covered))
            yield RotatedFace(view, yaw, 0.0, 0.0, 1.0, image, alpha)

    def close(self) -> None:
        pass


def test_the_truth_itself_gets_full_marks(
    true_views: list[TrueView], observer: FaceObserver, identity: IdentityNet
) -> None:
    oracle = Oracle(true_views, observer)
    before = oracle.settings
    _, scores, pictures = evaluate_posed(oracle, observer, identity, true_views, true_views[1])
    assert oracle.settings is before
    assert [round(math.degrees(score.yaw)) for score in scores] == [-30, 0, 30]
    for score, picture, true in zip(scores, pictures, true_views, strict=True):
        assert score.failure is None
        assert score.psnr_head is not None
        assert score.psnr_head > 37.0  # the landmarks place it to half a pixel, which hair shows
        assert score.ssim_head is not None
        assert score.ssim_head > 0.98
        assert score.holes == pytest.approx(0.0, abs=0.002)
        assert score.misalignment is not None
        assert score.misalignment < 0.7
        assert score.identity_true == pytest.approx(1.0, abs=0.02)
        assert score.identity_source == pytest.approx(score.identity_ceiling, abs=0.02)
        assert picture.ours.shape == true.image.shape
    assert scores[1].identity_ceiling == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("worse", ["mirrored", "holed"])
def test_wrong_views_lose_marks(
    true_views: list[TrueView], observer: FaceObserver, identity: IdentityNet, worse: str
) -> None:
    oracle = Oracle(true_views, observer, worse)
    _, (left, _, right), _ = evaluate_posed(oracle, observer, identity, true_views, true_views[1])
    for score in (left, right):
        assert score.psnr_head is not None
        assert score.holes is not None
        if worse == "mirrored":
            assert score.psnr_head < 25.0
        else:
            assert 0.2 < score.holes < 0.8


def test_the_head_pipeline_finds_back_the_views_it_was_shown(
    rotator: HeadRotator,
    true_views: list[TrueView],
    observer: FaceObserver,
    identity: IdentityNet,
) -> None:
    _, (left, source, right), _ = evaluate_posed(
        rotator, observer, identity, true_views, true_views[1]
    )
    assert source.psnr_head is not None
    assert source.psnr_head > 30.0
    for score in (left, right):
        assert score.asked is not None
        assert score.asked[0] == pytest.approx(score.yaw, abs=math.radians(4))
        assert score.identity_true is not None
        assert score.identity_true > 0.85
        assert score.psnr_head is not None
        assert score.psnr_head > 19.0
        assert score.misalignment is not None
        assert score.misalignment < 4.0


def test_a_photo_is_scored_the_same_twice_and_keeps_its_person_and_background(
    rotator: HeadRotator,
) -> None:
    evaluation = Evaluation(rotator, yaws=[math.radians(yaw) for yaw in (-30, 0, 30)])
    first, second = ([result.subject for result in evaluation.run([PHOTO])] for _ in range(2))
    assert first == second
    (subject,) = first
    for score, least in zip(subject.views, (0.76, 0.92, 0.76), strict=True):
        assert score.failure is None
        assert score.identity_source is not None
        assert score.identity_source > least
        assert score.leak is not None
        assert score.leak < 0.02


def test_flicker_is_the_change_of_the_view_beside_that_of_the_face(
    rotator: HeadRotator, observer: FaceObserver, astronaut: NDArray[np.uint8]
) -> None:
    views = [View(0.0, 0.0)]
    _, (still,) = evaluate_sequence(rotator, observer, [astronaut] * 3, views)
    assert (still.temporal_input, still.temporal_view) == (0.0, 0.0)

    moved = np.roll(astronaut, (4, -6), axis=(0, 1))
    _, (shifted,) = evaluate_sequence(rotator, observer, [astronaut, moved], views)
    assert shifted.temporal_input is not None
    assert shifted.temporal_input < 2.0, "the motion of the head counts"

    dimmed = astronaut - np.minimum(astronaut, 10)
    _, (dim,) = evaluate_sequence(rotator, observer, [astronaut, dimmed, astronaut], views)
    assert dim.temporal_input == pytest.approx(10.0, abs=1.0)
    assert dim.temporal_view == pytest.approx(10.0, abs=2.5)

    with pytest.raises(ImageError, match="1 frames"):
        evaluate_sequence(rotator, observer, [astronaut], views)


def test_the_command_writes_its_reports_and_goes_on_after_a_bad_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], astronaut: NDArray[np.uint8]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(PHOTO.read_bytes()[:4000])
    write_image(tmp_path / "empty.png", np.full((64, 64, 3), 90, np.uint8))
    write_image(tmp_path / "someone.png", astronaut)
    out = tmp_path / "out"
    arguments = ["-y", "-30", "--size", "128", "--json", str(out / "q.json")]
    arguments += ["--markdown", str(out / "q.md"), "--figures", str(out), "--strips"]
    assert main(["evaluate", str(tmp_path), *arguments, str(out / "strips.jpg")]) == 1
    report = json.loads((out / "q.json").read_text())
    assert [subject["name"] for subject in report["subjects"]] == ["broken", "empty", "someone"]
    failures = [subject["failure"] for subject in report["subjects"]]
    assert "damaged" in failures[0]
    assert "no face found" in failures[1]
    assert failures[2] is None
    assert report["subjects"][2]["views"][0]["identity_source"] > 0.7
    text = (out / "q.md").read_text()
    assert text == capsys.readouterr().out
    assert f"facerot evaluate {tmp_path.name} --yaw-deg -30 --size 128 --markdown q.md" in text
    assert str(tmp_path) not in text.replace(failures[0], "")
    assert sorted(path.name for path in out.iterdir()) == [
        "q.json", "q.md", "someone.png", "strips.jpg"
    ]  # fmt: skip


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name)
    )
    assert main(["evaluate", str(PHOTO)]) == 2
    error = capsys.readouterr().err
    assert "needs skimage" in error
    assert "opendr_facerot[evaluate]" in error


def test_a_fault_of_the_pipeline_is_a_result(observer: FaceObserver) -> None:
    class Broken(Oracle):
        def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
            raise ZeroDivisionError("by zero")

    (result,) = Evaluation(Broken([], observer)).run([PHOTO])
    assert result.subject.failure == "ZeroDivisionError: by zero"
