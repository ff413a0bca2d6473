"""From the pieces found in a user's files to components that can be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.reconstruct.bfm import (
    EXPRESSION_MODES,
    PUBLISHED_ALIGNMENT_VERTICES,
    SHAPE_MODES,
    MorphableModel,
    alignment_vertices_of,
)
from opendr_facerot.reconstruct.face_parameters import Whitening
from opendr_facerot.weights.contents import Piece
from opendr_facerot.weights.installed import model_without_faces
from opendr_facerot.weights.manifest import COMPONENTS, Component, Part
from opendr_facerot.weights.store import InstalledComponent

_SEPARATE_PARTS = {  # of 3DDFA's face model: how many files of each, and their published names
    Part.MEAN: (2, "both u_shp.npy and u_exp.npy"),
    Part.SHAPE_BASIS: (1, "w_shp_sim.npy"),
    Part.EXPRESSION_BASIS: (1, "w_exp_sim.npy"),
    Part.KEYPOINTS: (1, "keypoints_sim.npy"),
}


@dataclass(frozen=True, eq=False)
class Found:
    """A piece with the file it was in.

    Attributes:
        piece: The piece.
        label: The file, with the archive that it is in, if any.
        md5: Hexadecimal MD5 of the file.
    """

    piece: Piece
    label: str
    md5: str


def assemble(found: list[Found]) -> tuple[dict[Component, InstalledComponent], list[str]]:
    """Components made of all pieces that were found, and notes for the user.

    Raises:
        WeightsError: There are several different pieces for one place, a piece that is of no use
            without others that are not there, or a piece of the wrong shape.
    """
    components: dict[Component, InstalledComponent] = {}
    notes: list[str] = []
    if network := _only(found, Part.NETWORK):
        components[Component.NETWORK] = _network(network)
    if whitening := _only(found, Part.WHITENING):
        components[Component.WHITENING] = _whitening(whitening)
    model = None
    if parts := _model_parts(found):
        model = _model(parts, found, notes)
        arrays = {n: a for n, a in vars(model).items() if n != "faces"}
        components[Component.MODEL] = _component(Component.MODEL, arrays, parts)
        layout = parts[0].piece.layout
        found = [f for f in found if f.piece.part is not Part.FACES or f.piece.layout is layout]
    if faces := _only(found, Part.FACES):
        components[Component.FACES] = _faces(faces, model)
    if generator := _only(found, Part.GENERATOR):
        components[Component.GENERATOR] = _generator(generator)
    return components, notes


def _network(found: Found) -> InstalledComponent:
    from opendr_facerot.reconstruct.mobilenet_v1 import check_state_dict, from_checkpoint

    state = from_checkpoint(found.piece.arrays)
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    with _blamed_on(found):
        check_state_dict(state)
    return _component(Component.NETWORK, state, [found])


def _whitening(found: Found) -> InstalledComponent:
    arrays = {name: _floats(array).ravel() for name, array in found.piece.arrays.items()}
    with _blamed_on(found):
        Whitening(**arrays)
    return _component(Component.WHITENING, arrays, [found])


def _generator(found: Found) -> InstalledComponent:
    from opendr_facerot.generate.checkpoints import load_generator, unaliased_state

    with _blamed_on(found):
        state = unaliased_state(load_generator(found.piece.arrays))
    return _component(Component.GENERATOR, state, [found])


def _model_parts(found: list[Found]) -> list[Found]:
    """The pieces of the face model: one whole one, or all the separate ones, or none."""
    whole = _only(found, Part.WHOLE_MODEL)
    separate = {part: _different(found, part) for part in _SEPARATE_PARTS}
    present = [f for pieces in separate.values() for f in pieces]
    if whole and present:
        raise _ambiguous("face models", [whole, present[0]])
    if whole:
        return [whole]
    if not present:
        return []
    lacking = []
    for part, (count, names) in _SEPARATE_PARTS.items():
        if len(separate[part]) > count:
            raise _ambiguous(f"files with {part.value}", separate[part])
        if len(separate[part]) < count:
            lacking.append(names)
    if lacking:
        raise WeightsError(
            f"{present[0].label} is a part of the face model, but {', '.join(lacking)} "
            "did not come with it: give the whole folder train.configs, or ckpt_and_bfm.zip"
        )
    return present


def _model(parts: list[Found], found: list[Found], notes: list[str]) -> MorphableModel:
    with _blamed_on(*parts):
        if parts[0].piece.part is Part.WHOLE_MODEL:
            arrays = parts[0].piece.arrays
            mean = _floats(arrays["u"]).ravel()
            shape_basis = _floats(arrays["w_shp"][:, :SHAPE_MODES])
            expression_basis = _floats(arrays["w_exp"][:, :EXPRESSION_MODES])
            keypoints = _vertices_of_rows(arrays["keypoints"], mean.size // 3)
            alignment = _alignment_in_part(mean, keypoints, found, notes)
        else:
            by_part = {f.piece.part: f.piece.arrays[f.piece.part.name] for f in parts}
            means = [f.piece.arrays[Part.MEAN.name] for f in parts if f.piece.part is Part.MEAN]
            mean = _floats(means[0] + means[1]).ravel()
            shape_basis = _floats(by_part[Part.SHAPE_BASIS])
            expression_basis = _floats(by_part[Part.EXPRESSION_BASIS])
            keypoints = _vertices_of_rows(by_part[Part.KEYPOINTS], mean.size // 3)
            if mean.size // 3 > max(PUBLISHED_ALIGNMENT_VERTICES):
                alignment = np.array(PUBLISHED_ALIGNMENT_VERTICES, np.int32)
            else:
                alignment = alignment_vertices_of(mean, keypoints)
                notes.append(_APPROXIMATE.format("the mesh is smaller than the published one"))
        return model_without_faces(
            {
                "mean": mean,
                "shape_basis": shape_basis,
                "expression_basis": expression_basis,
                "keypoints": keypoints,
                "alignment_vertices": alignment,
            }
        )


_APPROXIMATE = (
    "the vertices that align rotated faces are those nearest to the landmarks, because {}"
)


def _alignment_in_part(
    mean: NDArray[np.float32],
    keypoints: NDArray[np.int32],
    found: list[Found],
    notes: list[str],
) -> NDArray[np.int32]:
    """Alignment vertices of 3DDFA_V2's mesh, which is a part of the published one."""
    for candidate in _different(found, Part.VERTEX_MAP):
        kept = candidate.piece.arrays[Part.VERTEX_MAP.name]
        place = np.searchsorted(kept, PUBLISHED_ALIGNMENT_VERTICES)
        complete = kept.size == mean.size // 3 and place.max() < kept.size
        if complete and (kept[place] == PUBLISHED_ALIGNMENT_VERTICES).all():
            return place.astype(np.int32)
    notes.append(_APPROXIMATE.format("configs/indices.npy of 3DDFA_V2 was not given"))
    return alignment_vertices_of(mean, keypoints)


def _faces(found: Found, model: MorphableModel | None) -> InstalledComponent:
    faces = np.asarray(found.piece.arrays["faces"])
    with _blamed_on(found):
        if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.dtype.kind not in "iu":
            raise ValueError(f"triangles are {faces.dtype} {faces.shape}: expected integers (F, 3)")
        if faces.min() < 0 or faces.max() > np.iinfo(np.int32).max:
            raise ValueError(f"triangles name vertices {faces.min()} to {faces.max()}")
        faces = faces.astype(np.int32)
        if model:
            replace(model, faces=faces)
    return _component(Component.FACES, {"faces": faces}, [found])


def _vertices_of_rows(rows: NDArray[Any], vertex_count: int) -> NDArray[np.int32]:
    """Vertices of ``(204,)`` rows of the flat model, three in a row for each vertex."""
    x = np.asarray(rows, np.int64).reshape(68, 3)
    vertices = x[:, 0] // 3
    if (x != 3 * vertices[:, None] + np.arange(3)).any():
        raise ValueError("the landmarks' rows are not x, y and z of one vertex each")
    if vertices.min() < 0 or vertices.max() >= vertex_count:
        raise ValueError(
            f"the landmarks are vertices {vertices.min()} to {vertices.max()}, "
            f"but the mesh has vertices 0 to {vertex_count - 1}"
        )
    return vertices.astype(np.int32)


def _floats(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.array(array, np.float32)


def _component(
    component: Component, tensors: dict[str, Any], made_of: list[Found]
) -> InstalledComponent:
    layout = made_of[0].piece.layout
    metadata = {
        "layout": layout.value if layout else "",
        "source": ", ".join(f.label.rsplit("/", 1)[-1] for f in made_of),
        "licence": COMPONENTS[component].licence,
    }
    return InstalledComponent(tensors, metadata)


def _different(found: list[Found], part: Part) -> list[Found]:
    """The pieces of one part, one of each that are alike."""
    kept: list[Found] = []
    for candidate in found:
        if candidate.piece.part is part and not any(_alike(candidate, k) for k in kept):
            kept.append(candidate)
    return kept


def _only(found: list[Found], part: Part) -> Found | None:
    pieces = _different(found, part)
    if len(pieces) > 1:
        raise _ambiguous(f"files with {part.value}", pieces)
    return pieces[0] if pieces else None


def _ambiguous(what: str, pieces: list[Found]) -> WeightsError:
    labels = ", ".join(piece.label for piece in pieces)
    return WeightsError(f"there are different {what}: {labels}; give the one to install")


def _alike(one: Found, other: Found) -> bool:
    if one.md5 == other.md5:
        return True
    a, b = one.piece.arrays, other.piece.arrays
    return a.keys() == b.keys() and all(
        isinstance(a[key], np.ndarray) and np.array_equal(a[key], b[key]) for key in a
    )


@contextmanager
def _blamed_on(*files: Found) -> Iterator[None]:
    """Name the files in errors about their content."""
    try:
        yield
    except (WeightsError, ValueError, IndexError, TypeError) as error:
        labels = ", ".join(f.label for f in files)
        raise WeightsError(f"{labels}: {error}; get the published file again") from error
