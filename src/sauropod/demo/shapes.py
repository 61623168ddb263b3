"""Outlines in object units: polygons of shape (n, 2), float64, x right, y down, size about 1.

Everything the demo world draws is a list of `Part`s: an outline, the palette slot that colours it,
and whether the subject's texture shows on it.
"""

from typing import NamedTuple

import numpy as np

Outline = np.ndarray
MAIN, SECOND, ACCENT, DARK, LIGHT = range(5)  # the palette slots of every subject


class Part(NamedTuple):
    """One filled outline of a subject; later parts cover earlier ones."""

    outline: Outline
    slot: int = MAIN
    textured: bool = False


def lerp(fraction: float, low: float, high: float) -> float:
    """Return the point at `fraction` of the way from low to high."""
    return low + float(fraction) * (high - low)


def polygon(*points: tuple[float, float]) -> Outline:
    """Return an outline through the given corners."""
    return np.array(points, dtype=np.float64)


def arc(
    centre: tuple[float, float],
    *,
    radii: tuple[float, float],
    degrees: tuple[float, float] = (0.0, 360.0),
    tilt: float = 0.0,
    points: int = 24,
) -> Outline:
    """Return points on an ellipse between two angles (0 = right, 90 = down), turned by tilt."""
    closed = degrees[1] - degrees[0] >= 360
    angles = np.radians(np.linspace(*degrees, points, endpoint=not closed))
    local = np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles)], axis=1)
    return local @ turn(tilt).T + np.array(centre)


def ellipse(x: float, y: float, rx: float, ry: float, *, tilt: float = 0.0) -> Outline:
    """Return a full ellipse; tilt in degrees."""
    return arc((x, y), radii=(rx, ry), tilt=tilt)


def turn(degrees: float) -> np.ndarray:
    """Return the (2, 2) rotation by an angle, clockwise on the screen."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    """Return an upright rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def curve(control: Outline, *, points: int = 24, closed: bool = False) -> Outline:
    """Return a Catmull-Rom curve through the control points, shape (points, 2)."""
    control = np.asarray(control, dtype=np.float64)
    n = len(control)
    last = n if closed else n - 1
    at = np.linspace(0, last, points, endpoint=not closed)
    start = np.minimum(at.astype(int), last - 1)
    t = (at - start)[:, None]
    index = start[:, None] + np.arange(-1, 3)
    index = index % n if closed else index.clip(0, n - 1)
    a, b, c, d = (control[index[:, k]] for k in range(4))
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )


def blob(*control: tuple[float, float], points: int = 32) -> Outline:
    """Return a smooth closed outline through the control points."""
    return curve(np.array(control), points=points, closed=True)


def limb(*control: tuple[float, float], widths: tuple[float, float], points: int = 12) -> Outline:
    """Return a smooth thick line along the control points, tapering between two half widths."""
    path = curve(np.array(control), points=points)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    half = np.linspace(*widths, points)[:, None]
    left, right = path + normal * half, path - normal * half
    heading = float(np.degrees(np.arctan2(tangent[-1, 1], tangent[-1, 0])))
    tip = arc(
        (path[-1, 0], path[-1, 1]),
        radii=(widths[1], widths[1]),
        degrees=(heading + 90, heading - 90),
        points=6,
    )
    return np.concatenate([left, tip, right[::-1]])


def mirrored(outline: Outline) -> Outline:
    """Return the outline reflected in the vertical axis."""
    return outline * np.array([-1.0, 1.0])


def rays(count: int, *, inner: float, outer: float, offset: float = 0.0) -> Outline:
    """Return a star with `count` tips."""
    angles = np.radians(np.arange(2 * count) * 180.0 / count + offset)
    radius = np.where(np.arange(2 * count) % 2 == 0, outer, inner)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
