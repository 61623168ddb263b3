"""Rasterise a scene: outlines become an id map, the id map becomes picture, mask and depth.

The canvas is OVERSAMPLE times the picture's size. Every outline that is drawn gets an id (at most
256 a scene); colour, meaning, depth, texture are tables over ids, so that picture, mask and depth
of a scene agree by construction.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sauropod.demo.shapes import Outline

OVERSAMPLE = 2
NEAREST_M, FARTHEST_M = 1.0, 10.0

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]


class Texture(NamedTuple):
    """A two-colour pattern in object units: its name, stripes or dots per unit, turn, phase."""

    name: str
    frequency: float
    degrees: float
    phase: float


def _stripes(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sin(u) + 0 * v


def _dots(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.cos(u) + np.cos(v) - 0.8


def _checks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sin(u) * np.sin(v)


def _waves(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sin(u + 1.6 * np.sin(0.8 * v))


def _rings(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sin(np.hypot(u, v))


def _scales(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(np.sin(0.5 * u + 1.57 * np.floor(v / np.pi))) - 1.25 * (v / np.pi % 1)


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "waves": _waves,
    "rings": _rings,
    "scales": _scales,
}
TEXTURES = ("plain", *PATTERNS)


class Rendered(NamedTuple):
    """What is known of a picture.

    pixels: uint8 (height, width, 3); mask: uint8 (height, width) semantic labels;
    depth: float32 (height, width) metres.
    """

    pixels: np.ndarray
    mask: np.ndarray
    depth: np.ndarray


@dataclass
class Canvas:
    """Outlines drawn so far on a picture of width x height pixels, with a horizon in [0, 1]."""

    width: int
    height: int
    horizon: float
    colours: list[Colour] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    depths: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    subjects: "list[Painted]" = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the id map."""
        self.ids = Image.new("L", (self.width * OVERSAMPLE, self.height * OVERSAMPLE))
        self.pen = ImageDraw.Draw(self.ids)

    def ink(self, colour: Colour, *, label: int, depth: float = 0.0, gradient: float = 0.0) -> int:
        """Open an id: colour, label, depth in metres (0 = the ground's), vertical gradient."""
        assert len(self.colours) < 256, "too many outlines in a scene"
        self.colours.append(colour)
        self.labels.append(label)
        self.depths.append(depth)
        self.gradients.append(gradient)
        return len(self.colours) - 1

    def fill(self, outline: Outline, ink: int) -> None:
        """Fill an outline given as fractions of width and height."""
        at = outline * np.array([self.ids.width, self.ids.height])
        self.pen.polygon(at.ravel().tolist(), fill=ink)

    def ground_depth(self, y: np.ndarray) -> np.ndarray:
        """Return metres of the ground at heights y in [0, 1]; the bottom edge is nearest."""
        fall = (1 - self.horizon) * NEAREST_M
        return (fall / np.maximum(y - self.horizon, 1e-3)).clip(NEAREST_M, FARTHEST_M)


class Painted(NamedTuple):
    """A subject on a canvas: its ids, its bounds and how its own units map to the canvas."""

    first: int
    last: int
    textured: list[int]
    texture: Texture
    tint: Colour
    matrix: np.ndarray  # (2, 2): object units to canvas pixels
    centre: np.ndarray  # (2,) canvas pixels
    bounds: tuple[int, int, int, int]  # left, top, right, bottom in canvas pixels


def _texture(rgb: np.ndarray, ids: np.ndarray, subject: Painted) -> None:
    """Mix the subject's tint into its textured parts, in place."""
    pattern = PATTERNS.get(subject.texture.name)
    if pattern is None or not subject.textured:
        return
    left, top, right, bottom = subject.bounds
    inverse = np.linalg.inv(subject.matrix)
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(subject.centre[0])
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(subject.centre[1])
    angle = np.radians(subject.texture.degrees)
    spin = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    a = (spin @ inverse * subject.texture.frequency * np.pi).astype(np.float32)
    shift = np.float32(subject.texture.phase * 6.283)
    value = pattern(a[0, 0] * x + a[0, 1] * y + shift, a[1, 0] * x + a[1, 1] * y + shift)
    window = ids[top:bottom, left:right]
    shows = np.zeros(256, dtype=bool)
    shows[subject.textured] = True
    here = shows[window] & (value > 0)
    rgb[top:bottom, left:right][here] = np.array(subject.tint, dtype=np.float32)


def _relief(ids: np.ndarray, subject: Painted, light: float) -> np.ndarray:
    """Return brightness (h, w) of a subject's window: its silhouette, blurred, lit from a side."""
    left, top, right, bottom = subject.bounds
    window = ids[top:bottom, left:right]
    inside = (window >= subject.first) & (window <= subject.last)
    half = Image.fromarray(inside[::2, ::2].astype(np.uint8) * 255)
    radius = 0.09 * max(half.size)
    soft = np.asarray(half.filter(ImageFilter.BoxBlur(radius)), dtype=np.float32) / 255
    step = max(1, round(0.8 * radius))
    dx, dy = round(step * np.cos(light)), round(step * np.sin(light))
    lit = np.roll(soft, (-dy, -dx), (0, 1)) - np.roll(soft, (dy, dx), (0, 1))
    shade = (1 - 0.42 * lit).clip(0.62, 1.3)
    full = shade.repeat(2, 0).repeat(2, 1)[: window.shape[0], : window.shape[1]]
    return np.where(inside, full, 1)


def _outline(rgb: np.ndarray, ids: np.ndarray, first_subject: int) -> None:
    """Darken the borders between parts of subjects, in place."""
    figure = ids >= first_subject
    edge = np.zeros(ids.shape, dtype=bool)
    edge[1:] |= (ids[1:] != ids[:-1]) & (figure[1:] | figure[:-1])
    edge[:, 1:] |= (ids[:, 1:] != ids[:, :-1]) & (figure[:, 1:] | figure[:, :-1])
    rgb[edge] *= np.float32(0.42)


def _grain(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return smooth noise in about [-1, 1], shape (height, width)."""
    coarse = rng.integers(0, 256, (9, 9), dtype=np.uint8)
    size = (width, height)
    wide = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(wide, dtype=np.float32) / 127.5 - 1


def develop(canvas: Canvas, *, rng: np.random.Generator, light: float, exposure: float) -> Rendered:
    """Turn the id map into picture, mask and depth.

    Args:
        canvas: What was drawn.
        rng: Draws the grain.
        light: Where light comes from, radians (-pi/2 = above).
        exposure: Factor on all colours.
    """
    ids = np.asarray(canvas.ids)
    rgb = np.take(np.array(canvas.colours, dtype=np.float32), ids, axis=0)
    y = np.linspace(0, 1, ids.shape[0], dtype=np.float32)
    first = canvas.subjects[0].first if canvas.subjects else 256
    tone = 1 + np.take(np.array(canvas.gradients, dtype=np.float32), ids) * (y - 0.5)[:, None]
    tone += np.float32(0.05) * _grain(rng, ids.shape[1], ids.shape[0])
    for subject in canvas.subjects:
        _texture(rgb, ids, subject)
        left, top, right, bottom = subject.bounds
        if right - left > 8 and bottom - top > 8:
            tone[top:bottom, left:right] *= _relief(ids, subject, light)
    rgb *= (tone * np.float32(exposure))[:, :, None]
    _outline(rgb, ids, first)
    rgb *= 255
    large = Image.fromarray(np.minimum(rgb, 255, out=rgb).astype(np.uint8))
    small = ids[OVERSAMPLE // 2 :: OVERSAMPLE, OVERSAMPLE // 2 :: OVERSAMPLE]
    flat = np.array(canvas.depths, dtype=np.float32)[small]
    ground = canvas.ground_depth(np.linspace(0, 1, canvas.height, dtype=np.float32))[:, None]
    return Rendered(
        pixels=np.asarray(large.reduce(OVERSAMPLE)),
        mask=np.array(canvas.labels, dtype=np.uint8)[small],
        depth=np.where(flat > 0, flat, ground).astype(np.float32),
    )
