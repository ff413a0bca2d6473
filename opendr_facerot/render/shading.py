"""Kernels that shade a head view: see :mod:`opendr_facerot.render.texture`.

A pixel has four samples. Each looks the photo up where it lies itself; what else makes a colour,
the weights and the logarithms, is smooth on the head, and worked out once per pixel from the
samples' means, unless the samples' confidences differ, as at an eyelid, or their depths, as where
an ear stands before the head, or not all see the head.
"""

from __future__ import annotations

import numpy as np

from opendr_facerot.render.kernels import inlined, kernel, relaxed_inlined, relaxed_kernel

# Columns of the table of what every sample needs: half a cache line. The first three are those
# that VisibleFaces reads.
_X, _Y, _INVERSE_DEPTH, _OWN, _SECOND, _COVERAGE, _PHOTO = 0, 1, 2, 3, 4, 5, 6
COLUMNS = 8
# Columns of VertexAppearance.stand_in.
_SECOND_PHOTO, _CORRECTION, _FILL, _HAIR, _DETAIL = 0, 2, 5, 8, 9

_STRETCH_RAMP = (0.5, 0.85)  # cosine in the photo over cosine in the view
_GRAZING = 0.06  # cosine in the view below which it makes no more difference


@relaxed_inlined
def _share(confidence, ramp):  # type: ignore[no-untyped-def]
    """How far a sample of a confidence counts."""
    low, width = np.float32(ramp[0]), np.float32(ramp[1] - ramp[0])
    t = min(max((confidence - low) / width, np.float32(0.0)), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@inlined
def _ramp(low, high, x):  # type: ignore[no-untyped-def]
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@kernel
def _cosine(vertices, faces, starts, around, v):  # type: ignore[no-untyped-def]
    """Cosine between a vertex's area-weighted normal and the direction to the camera."""
    nx = ny = nz = 0.0
    for k in range(starts[v], starts[v + 1]):
        a, b, c = faces[around[k], 0], faces[around[k], 1], faces[around[k], 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        wx, wy, wz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
        nx += uy * wz - uz * wy
        ny += uz * wx - ux * wz
        nz += ux * wy - uy * wx
    x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
    length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return -(nx * x + ny * y + nz * z) / (length * np.sqrt(x * x + y * y + z * z))


@kernel
def vertex_rows(  # type: ignore[no-untyped-def]
    vertices,
    faces,
    starts,
    around,
    coverage,
    photo_xy,
    confidence,
    second_confidence,
    second_cosine,
    second_visible,
    source_cosine,
    visible,
    camera,
    first,
    last,
    table,
):
    """Write the ``table`` of what every sample needs of the vertices ``first`` to ``last``.

    ``around[starts[v] : starts[v + 1]]`` are the ``faces`` around vertex v, ``camera`` is focal
    length and principal point in samples; the other arrays are those of :class:`VertexAppearance`.
    """
    focal, cx, cy = camera
    for v in range(first, last):
        own, second = np.float64(confidence[v]), np.float64(second_confidence[v])
        if visible[v] > own or second_visible[v] > second:
            # A sample that was grazing in the photo is good as long as this view grazes it as much.
            cosine = max(_cosine(vertices, faces, starts, around, v), _GRAZING)
            low, high = _STRETCH_RAMP
            own = max(own, visible[v] * _ramp(low, high, source_cosine[v] / cosine))
            as_grazing = _ramp(low, high, second_cosine[v] / cosine)
            second = max(second, second_visible[v] * as_grazing)
        inverse_depth = 1.0 / vertices[v, 2]
        table[v, _X] = vertices[v, 0] * focal * inverse_depth + cx
        table[v, _Y] = vertices[v, 1] * focal * inverse_depth + cy
        table[v, _INVERSE_DEPTH] = inverse_depth
        table[v, _OWN] = own
        table[v, _SECOND] = second
        table[v, _COVERAGE] = coverage[v]
        table[v, _PHOTO], table[v, _PHOTO + 1] = photo_xy[v, 0], photo_xy[v, 1]


@relaxed_inlined
def _spot(key, x, y, faces, table):  # type: ignore[no-untyped-def]
    """Where on the surface a sample lies: its face's vertices and their weights in space."""
    face = np.uintp(~np.int32(key))
    i, j, k = np.uintp(faces[face, 0]), np.uintp(faces[face, 1]), np.uintp(faces[face, 2])
    ax, ay = table[i, _X] - np.float32(x), table[i, _Y] - np.float32(y)
    bx, by = table[j, _X] - np.float32(x), table[j, _Y] - np.float32(y)
    cx, cy = table[k, _X] - np.float32(x), table[k, _Y] - np.float32(y)
    # Weights are linear on the screen when divided by the depth; rounding makes some negative.
    zero = np.float32(0.0)
    u = max((by * cx - bx * cy) * table[i, _INVERSE_DEPTH], zero)
    v = max((cy * ax - cx * ay) * table[j, _INVERSE_DEPTH], zero)
    w = max((ay * bx - ax * by) * table[k, _INVERSE_DEPTH], zero)
    total = u + v + w
    if total <= zero:
        u = total = np.float32(1.0)
    scale = np.float32(1.0) / total
    return i, j, k, u * scale, v * scale, w * scale


@relaxed_inlined
def _at(spot, table, column):  # type: ignore[no-untyped-def]
    i, j, k, u, v, w = spot
    return u * table[i, column] + v * table[j, column] + w * table[k, column]


@relaxed_inlined
def _mean_at(spots, table, column):  # type: ignore[no-untyped-def]
    a, b, c, d = spots
    upper = _at(a, table, column) + _at(b, table, column)
    lower = _at(c, table, column) + _at(d, table, column)
    return np.float32(0.25) * (upper + lower)


@relaxed_inlined
def _cell(image, x, y):  # type: ignore[no-untyped-def]
    """The four pixels around a position and their bilinear weights."""
    x = min(max(x, np.float32(0.0)), np.float32(image.shape[1] - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(image.shape[0] - 1.001))
    column, row = np.int32(x), np.int32(y)
    u, v = x - np.float32(column), y - np.float32(row)
    both = u * v
    weights = np.float32(1.0) - u - v + both, u - both, v - both, both
    return np.uintp(row), np.uintp(row + 1), np.uintp(column), np.uintp(column + 1), weights


@relaxed_inlined
def _mix(image, cell, channel):  # type: ignore[no-untyped-def]
    top, bottom, left, right, weights = cell
    a, b, c, d = weights
    above = a * np.float32(image[top, left, channel]) + b * np.float32(image[top, right, channel])
    below = np.float32(image[bottom, left, channel]) * c
    return above + below + d * np.float32(image[bottom, right, channel])


@relaxed_inlined
def _colour_at(spot, photo, table, column):  # type: ignore[no-untyped-def]
    cell = _cell(photo, _at(spot, table, column), _at(spot, table, column + 1))
    return _mix(photo, cell, 0), _mix(photo, cell, 1), _mix(photo, cell, 2)


@relaxed_inlined
def _mean_colour_at(spots, photo, table, column):  # type: ignore[no-untyped-def]
    a = _colour_at(spots[0], photo, table, column)
    b = _colour_at(spots[1], photo, table, column)
    c = _colour_at(spots[2], photo, table, column)
    d = _colour_at(spots[3], photo, table, column)
    share = np.float32(0.25)
    return (
        share * (a[0] + b[0] + c[0] + d[0]),
        share * (a[1] + b[1] + c[1] + d[1]),
        share * (a[2] + b[2] + c[2] + d[2]),
    )


@relaxed_inlined
def _detail_at(spot, chart, stand_in):  # type: ignore[no-untyped-def]
    cell = _cell(chart, _at(spot, stand_in, _DETAIL), _at(spot, stand_in, _DETAIL + 1))
    return _mix(chart, cell, 0), _mix(chart, cell, 1)


@relaxed_inlined
def _mean_detail_at(spots, chart, zero, level, hair, stand_in):  # type: ignore[no-untyped-def]
    """Log luma of the chart's detail."""
    a, b = _detail_at(spots[0], chart, stand_in), _detail_at(spots[1], chart, stand_in)
    c, d = _detail_at(spots[2], chart, stand_in), _detail_at(spots[3], chart, stand_in)
    quarter = np.float32(0.25)
    grain = quarter * (a[0] + b[0] + c[0] + d[0]) - np.float32(zero)
    strands = quarter * (a[1] + b[1] + c[1] + d[1]) - np.float32(zero)
    on_skin = (np.float32(1.0) - hair) * level[0] * grain
    return on_skin + hair * (level[1] * grain + level[2] * strands)


@relaxed_inlined
def _shaded(spots, own, second, sources):  # type: ignore[no-untyped-def]
    """Colour of samples that are weighted as one, and the share of it that is the photo's own."""
    ramp, table, stand_in, photo, chart, chart_zero, level, tint = sources
    zero, one, white = np.float32(0.0), np.float32(1.0), np.float32(255.0)
    own = _share(own, ramp)
    other = (one - own) * _share(second, ramp)
    rest = one - own - other
    red = green = blue = zero
    if own > zero:
        colour = _mean_colour_at(spots, photo, table, _PHOTO)
        red, green, blue = own * colour[0], own * colour[1], own * colour[2]
    if other > zero:
        colour = _mean_colour_at(spots, photo, stand_in, _SECOND_PHOTO)
        red += other * colour[0] * np.exp(_mean_at(spots, stand_in, _CORRECTION))
        green += other * colour[1] * np.exp(_mean_at(spots, stand_in, _CORRECTION + 1))
        blue += other * colour[2] * np.exp(_mean_at(spots, stand_in, _CORRECTION + 2))
    if rest > zero:
        hair = _mean_at(spots, stand_in, _HAIR)
        on_skin = _mean_detail_at(spots, chart, chart_zero, level, hair, stand_in)
        on_hair = hair * on_skin
        on_skin -= on_hair
        red += rest * np.exp(_mean_at(spots, stand_in, _FILL) + on_skin + on_hair * tint[0])
        green += rest * np.exp(_mean_at(spots, stand_in, _FILL + 1) + on_skin + on_hair * tint[1])
        blue += rest * np.exp(_mean_at(spots, stand_in, _FILL + 2) + on_skin + on_hair * tint[2])
    return min(red, white), min(green, white), min(blue, white), own


@relaxed_inlined
def _inverse_depth(key):  # type: ignore[no-untyped-def]
    return np.uint32(key >> np.uint64(32)).view(np.float32)


@relaxed_inlined
def _spread(a, b, c, d):  # type: ignore[no-untyped-def]
    return max(max(a, b), max(c, d)) - min(min(a, b), min(c, d))


@relaxed_kernel
def shade_rows(  # type: ignore[no-untyped-def]
    keys,
    top,
    faces,
    table,
    stand_in,
    photo,
    detail,
    detail_zero,
    detail_level,
    detail_tint,
    own_ramp,
    shared_spread,
    image,
    areas,
):
    """Shade and average the samples of an image's rows; add up their covered and own areas.

    Args:
        keys: ``(2 * rows, 2 * columns)``, as of :class:`VisibleFaces`.
        top: The image's row of samples that ``keys`` begins at.
        faces: ``(F, 3)`` int32.
        table: ``(V, COLUMNS)`` of :func:`vertex_rows`.
        stand_in: ``(V, 11)`` of :class:`VertexAppearance`.
        photo: ``(H, W, 3)`` uint8 RGB.
        detail: ``(D, D, 2)`` uint8 detail chart.
        detail_zero: Its value that stands for no change.
        detail_level: ``(3,)`` float32 change of the log colour for a step of the chart: grain on
            skin, grain on hair, strands on hair.
        detail_tint: ``(3,)`` float32 factor on it in hair's red, green and blue.
        own_ramp: Confidence at which a sample starts to count, and counts fully.
        shared_spread: A pixel whose samples differ less, in confidence and relatively in depth, is
            weighted as one.
        image: ``(rows, columns, 4)`` float32 to write to, premultiplied.
        areas: ``(rows, 2)`` float64 to write to, pixels covered and pixels of the photo's own.
    """
    most_spread, most_step = np.float32(shared_spread[0]), np.float32(shared_spread[1])
    zero, quarter, nothing = np.float32(0.0), np.float32(0.25), np.uint64(0)
    sources = (
        own_ramp,
        table,
        stand_in,
        photo,
        detail,
        detail_zero,
        detail_level,
        detail_tint,
    )
    for row in range(image.shape[0]):
        covered_area = own_area = zero
        upper, lower = np.uintp(2 * row), np.uintp(2 * row + 1)
        y = top + 2 * row
        for column in range(image.shape[1]):
            red = green = blue = opacity = zero
            x = 2 * column
            left, right = np.uintp(x), np.uintp(x + 1)
            k0, k1 = keys[upper, left], keys[upper, right]
            k2, k3 = keys[lower, left], keys[lower, right]
            shared = (k0 != nothing) & (k1 != nothing) & (k2 != nothing) & (k3 != nothing)
            if shared:
                a, b = _spot(k0, x, y, faces, table), _spot(k1, x + 1, y, faces, table)
                c, d = _spot(k2, x, y + 1, faces, table), _spot(k3, x + 1, y + 1, faces, table)
                own0, own1 = _at(a, table, _OWN), _at(b, table, _OWN)
                own2, own3 = _at(c, table, _OWN), _at(d, table, _OWN)
                second0, second1 = _at(a, table, _SECOND), _at(b, table, _SECOND)
                second2, second3 = _at(c, table, _SECOND), _at(d, table, _SECOND)
                z0, z1 = _inverse_depth(k0), _inverse_depth(k1)
                z2, z3 = _inverse_depth(k2), _inverse_depth(k3)
                shared = (
                    (_spread(own0, own1, own2, own3) < most_spread)
                    & (_spread(second0, second1, second2, second3) < most_spread)
                    & (_spread(z0, z1, z2, z3) < most_step * z0)
                )
            if shared:
                spots = a, b, c, d
                opacity = _mean_at(spots, table, _COVERAGE)
                own = quarter * (own0 + own1 + own2 + own3)
                second = quarter * (second0 + second1 + second2 + second3)
                red, green, blue, own = _shaded(spots, own, second, sources)
                red, green, blue = opacity * red, opacity * green, opacity * blue
                own_area += opacity * own
            elif (k0 | k1 | k2 | k3) != nothing:
                for sub in range(4):
                    i, j = sub // 2, sub % 2
                    key = keys[np.uintp(2 * row + i), np.uintp(x + j)]
                    if key == nothing:
                        continue
                    a = _spot(key, x + j, y + i, faces, table)
                    weight = quarter * _at(a, table, _COVERAGE)
                    own, second = _at(a, table, _OWN), _at(a, table, _SECOND)
                    colour = _shaded((a, a, a, a), own, second, sources)
                    red += weight * colour[0]
                    green += weight * colour[1]
                    blue += weight * colour[2]
                    opacity += weight
                    own_area += weight * colour[3]
            image[row, column, 0] = red
            image[row, column, 1] = green
            image[row, column, 2] = blue
            image[row, column, 3] = opacity
            covered_area += opacity
        areas[row, 0] = covered_area
        areas[row, 1] = own_area
