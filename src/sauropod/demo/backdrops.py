"""Backgrounds: landscapes and rooms, drawn on a canvas in layers from far to near."""

from collections.abc import Callable

import numpy as np

from sauropod.demo.canvas import FARTHEST_M, Canvas, Colour
from sauropod.demo.keys import pick
from sauropod.demo.shapes import arc, box

SKY, GROUND, HILL, WATER, WALL, ANIMAL, VEHICLE, PLANT, THING, BUILDING, PERSON = range(1, 12)
MEANINGS = (
    "other",
    "sky",
    "ground",
    "hill",
    "water",
    "wall",
    "animal",
    "vehicle",
    "plant",
    "thing",
    "building",
    "person",
)
SKIES: tuple[Colour, ...] = (
    (0.55, 0.78, 0.93),
    (0.98, 0.76, 0.60),
    (0.74, 0.68, 0.88),
    (0.62, 0.86, 0.83),
    (0.93, 0.88, 0.74),
    (0.22, 0.27, 0.45),
)
GRASS: tuple[Colour, ...] = (
    (0.55, 0.72, 0.38),
    (0.40, 0.60, 0.42),
    (0.72, 0.70, 0.40),
    (0.80, 0.78, 0.74),
)
WALLS: tuple[Colour, ...] = (
    (0.90, 0.80, 0.72),
    (0.72, 0.80, 0.78),
    (0.82, 0.76, 0.88),
    (0.62, 0.66, 0.74),
    (0.95, 0.90, 0.80),
    (0.80, 0.62, 0.58),
)


def shaded(colour: Colour, factor: float) -> Colour:
    """Return the colour times a factor, kept within [0, 1]."""
    r, g, b = (min(1.0, channel * factor) for channel in colour)
    return r, g, b


def _sky(canvas: Canvas, rng: np.random.Generator) -> Colour:
    colour = pick(rng, SKIES)
    sky = canvas.ink(colour, label=SKY, depth=FARTHEST_M, gradient=0.35)
    canvas.fill(box(0, 0, 1, 1), sky)
    night = sum(colour) < 1.2
    bright = canvas.ink((1.0, 0.95, 0.8), label=SKY, depth=FARTHEST_M)
    x, y, r = rng.uniform(0.08, 0.92), rng.uniform(0.06, 0.3), rng.uniform(0.04, 0.09)
    canvas.fill(arc((x, y), radii=(r, r * canvas.width / canvas.height)), bright)
    if night:
        for at in rng.uniform(0, 1, (18, 2)):
            canvas.fill(box(at[0], 0.6 * at[1], at[0] + 0.008, 0.6 * at[1] + 0.008), bright)
        return colour
    cloud = canvas.ink(shaded(colour, 1.18), label=SKY, depth=FARTHEST_M)
    for _ in range(int(rng.integers(0, 4))):
        x, y, size = rng.uniform(0, 1), rng.uniform(0.03, 0.35), rng.uniform(0.04, 0.08)
        for dx, grow in ((-1.1, 0.7), (0, 1.0), (1.1, 0.75)):
            canvas.fill(
                arc((x + dx * size, y), radii=(size * grow * 1.3, 0.7 * size * grow)), cloud
            )
    return colour


def _ground(canvas: Canvas, colour: Colour, *, label: int = GROUND) -> None:
    ink = canvas.ink(colour, label=label, gradient=-0.35)
    canvas.fill(box(0, canvas.horizon, 1, 1), ink)


def _ridge(
    canvas: Canvas, rng: np.random.Generator, *, ink: int, rise: float, waves: float
) -> None:
    """Fill a hilly line from the horizon upwards."""
    x = np.linspace(0, 1, 28)
    f, phase = rng.uniform(0.6, 1.4, 3) * waves, rng.uniform(0, 6.28, 3)
    k = np.arange(3)[:, None]
    hills = (np.sin(f[:, None] * 6.28 * (k + 1) * x + phase[:, None]) / (k + 1.5)).sum(0)
    y = canvas.horizon - rise * (0.75 + 0.5 * hills)
    line = np.stack([x, y.clip(max=canvas.horizon + 0.02)], axis=1)
    canvas.fill(
        np.concatenate([line, [[1, canvas.horizon + 0.03], [0, canvas.horizon + 0.03]]]), ink
    )


def hills(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw rolling hills under a sky."""
    _sky(canvas, rng)
    green = pick(rng, GRASS)
    for depth, rise, factor in ((9.0, 0.2, 1.25), (7.5, 0.1, 1.1)):
        ink = canvas.ink(shaded(green, factor), label=HILL, depth=depth)
        _ridge(canvas, rng, ink=ink, rise=rise, waves=1)
    _ground(canvas, green)
    tuft = canvas.ink(shaded(green, 0.8), label=GROUND)
    for at in rng.uniform(0, 1, (14, 2)):
        y = canvas.horizon + (1 - canvas.horizon) * at[1]
        size = 0.006 + 0.02 * at[1]
        canvas.fill(np.array([(at[0] - size, y), (at[0], y - 2 * size), (at[0] + size, y)]), tuft)


def sea(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw open water, sometimes with an island."""
    _sky(canvas, rng)
    if rng.random() < 0.5:
        ink = canvas.ink((0.50, 0.58, 0.52), label=HILL, depth=9.0)
        x, w = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.3)
        canvas.fill(arc((x, canvas.horizon), radii=(w, 0.12), degrees=(180, 360)), ink)
    blue = pick(rng, ((0.25, 0.52, 0.66), (0.30, 0.60, 0.62), (0.24, 0.38, 0.58)))
    _ground(canvas, blue, label=WATER)
    crest = canvas.ink(shaded(blue, 1.35), label=WATER)
    for at in rng.uniform(0, 1, (22, 2)):
        y = canvas.horizon + (1 - canvas.horizon) * at[1] ** 0.8
        size = 0.02 + 0.06 * at[1]
        canvas.fill(arc((at[0], y), radii=(size, 0.12 * size)), crest)


def desert(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw dunes and mesas."""
    _sky(canvas, rng)
    sand = pick(rng, ((0.90, 0.74, 0.50), (0.86, 0.62, 0.44), (0.94, 0.84, 0.64)))
    mesa = canvas.ink(shaded(sand, 0.78), label=HILL, depth=9.0)
    for x in rng.uniform(0, 1, int(rng.integers(1, 4))):
        w, h = rng.uniform(0.06, 0.16), rng.uniform(0.08, 0.2)
        top = canvas.horizon - h
        corners = [
            (x - 0.7 * w, top),
            (x + 0.7 * w, top),
            (x + w, canvas.horizon),
            (x - w, canvas.horizon),
        ]
        canvas.fill(np.array(corners), mesa)
    _ground(canvas, sand)
    for depth, factor in ((6.0, 1.08), (3.0, 0.92)):
        ink = canvas.ink(shaded(sand, factor), label=GROUND)
        y = canvas.horizon + (1 - canvas.horizon) / depth
        x = np.linspace(-0.1, 1.1, 20)
        wave = y + 0.03 * np.sin(6.28 * (x * rng.uniform(0.7, 1.5) + rng.random()))
        canvas.fill(
            np.concatenate([np.stack([x, wave], 1), [[1.1, y + 0.1], [-0.1, y + 0.1]]]), ink
        )


def city(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw a street in front of tall buildings."""
    _sky(canvas, rng)
    for depth, factor, tall in ((9.0, 0.95, 0.45), (8.0, 0.75, 0.3)):
        tone = shaded(pick(rng, WALLS), factor)
        wall = canvas.ink(tone, label=BUILDING, depth=depth)
        window = canvas.ink(shaded(tone, pick(rng, (0.7, 1.3))), label=BUILDING, depth=depth)
        left = rng.uniform(-0.1, 0)
        while left < 1:
            w, top = rng.uniform(0.1, 0.22), canvas.horizon - rng.uniform(0.4, 1) * tall
            canvas.fill(box(left, top, left + w, canvas.horizon + 0.01), wall)
            for x in np.arange(left + 0.02, left + w - 0.03, 0.045):
                for y in np.arange(top + 0.03, canvas.horizon - 0.02, 0.065):
                    canvas.fill(box(x, y, x + 0.02, y + 0.03), window)
            left += w + rng.uniform(0.0, 0.05)
    _ground(canvas, (0.55, 0.56, 0.60))
    line = canvas.ink((0.92, 0.9, 0.78), label=GROUND)
    y = canvas.horizon + 0.35 * (1 - canvas.horizon)
    for x in np.arange(rng.uniform(-0.2, 0), 1, 0.24):
        canvas.fill(box(x, y, x + 0.13, y + 0.015), line)


def forest(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw rows of firs."""
    _sky(canvas, rng)
    green = pick(rng, ((0.22, 0.42, 0.32), (0.30, 0.46, 0.28), (0.36, 0.40, 0.34)))
    _ground(canvas, shaded(green, 1.5))
    for depth, factor, size in ((8.0, 1.5, 0.22), (6.0, 1.2, 0.3), (4.5, 0.95, 0.4)):
        ink = canvas.ink(shaded(green, factor), label=PLANT, depth=depth)
        base = canvas.horizon + (1 - canvas.horizon) / depth
        for x in np.arange(rng.uniform(-0.1, 0), 1.1, 0.35 * size):
            h, w = size * rng.uniform(0.8, 1.25), 0.24 * size
            for k in range(3):
                y = base - h * k / 3.6
                canvas.fill(
                    np.array(
                        [(x - w * (1 - 0.22 * k), y), (x, y - 0.5 * h), (x + w * (1 - 0.22 * k), y)]
                    ),
                    ink,
                )


def room(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw a wall with a window or a picture, and a floor."""
    tone = pick(rng, WALLS)
    wall = canvas.ink(tone, label=WALL, depth=4.0, gradient=0.2)
    canvas.fill(box(0, 0, 1, 1), wall)
    if rng.random() < 0.6:
        stripe = canvas.ink(shaded(tone, 0.93), label=WALL, depth=4.0)
        for x in np.arange(0, 1, 0.125):
            canvas.fill(box(x, 0, x + 0.06, canvas.horizon), stripe)
    frame = canvas.ink(shaded(tone, 0.6), label=THING, depth=3.9)
    pane = canvas.ink(pick(rng, SKIES), label=THING, depth=3.9, gradient=0.4)
    x, y, w, h = (
        rng.uniform(0.05, 0.6),
        rng.uniform(0.06, 0.2),
        rng.uniform(0.2, 0.34),
        rng.uniform(0.15, 0.3),
    )
    canvas.fill(box(x, y, x + w, y + h), frame)
    canvas.fill(box(x + 0.02, y + 0.02, x + w - 0.02, y + h - 0.02), pane)
    canvas.fill(box(x + w / 2 - 0.008, y, x + w / 2 + 0.008, y + h), frame)
    floor = pick(rng, ((0.68, 0.50, 0.36), (0.52, 0.42, 0.40), (0.76, 0.68, 0.58)))
    _ground(canvas, floor)
    board = canvas.ink(shaded(floor, 0.85), label=GROUND)
    for k in np.linspace(-1.5, 1.5, 9):
        a, b = 0.5 + 0.45 * k, 0.5 + 1.4 * k
        canvas.fill(
            np.array([(a, canvas.horizon), (a + 0.006, canvas.horizon), (b + 0.016, 1), (b, 1)]),
            board,
        )
    canvas.fill(box(0, canvas.horizon - 0.025, 1, canvas.horizon), frame)


def studio(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw a plain seamless background."""
    tone = pick(rng, WALLS + SKIES[:5])
    canvas.fill(box(0, 0, 1, 1), canvas.ink(tone, label=WALL, depth=4.0, gradient=-0.25))
    _ground(canvas, shaded(tone, 0.92))


PLACES: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "hills": hills,
    "sea": sea,
    "desert": desert,
    "city": city,
    "forest": forest,
    "room": room,
}
BACKDROPS = {**PLACES, "studio": studio}
