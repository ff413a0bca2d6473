"""Where the time of the ``head`` pipeline goes."""

from __future__ import annotations

from collections.abc import Iterator

from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.profile import Profile, profile
from opendr_facerot.benchmark.scenes import NINE_VIEWS
from opendr_facerot.evaluation.streams import swaying
from opendr_facerot.imaging import read_image
from opendr_facerot.pipelines.head import HeadRotator


def scenario(conditions: Conditions) -> Iterator[Profile]:
    """A fit, nine views, a tracked frame."""
    stream = swaying(read_image(conditions.photo), conditions.runs + 2)
    rotator = HeadRotator(HeadRotator.Settings())
    frame = next(stream)
    yield profile("A fit", lambda: rotator.fit(frame.image), conditions.runs)
    face = rotator.fit(frame.image)[0]
    render = "Nine views of 256 pixels"
    yield profile(render, lambda: list(rotator.render(face, NINE_VIEWS)), conditions.runs)
    tracker = rotator.track()
    tracker.fit(frame.image, frame.stamp)
    later = iter(list(stream))

    def follow() -> None:
        frame = next(later)
        tracker.fit(frame.image, frame.stamp)

    yield profile("A tracked frame", follow, conditions.runs)
    tracker.close()
    rotator.close()
