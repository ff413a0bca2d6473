"""Rasterisation of triangle meshes: one entry point, several backends with the same result.

Coordinates
    Vertices are in normalised device coordinates: x to the right, y up, both in [-1, 1] across the
    image, and z the depth from the camera, positive, smaller = nearer. Pixel column i of an image
    of R pixels has its centre at x = (2i + 1 - R) / R; :func:`ndc_from_pixels` converts from the
    package's pixel coordinates. Row 0 of every result is the top row.

Rules (those of Kato et al., "Neural 3D Mesh Renderer", CVPR 2018)
    Clockwise triangles (seen with y up) are culled. A pixel is covered when its centre is inside
    or on an edge. Depth is interpolated harmonically, 1 / sum(w_k / z_k), and must lie strictly
    between near and far. The nearest triangle wins, the lowest face index among equals.
"""
