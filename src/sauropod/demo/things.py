"""Vehicles, plants, buildings and objects as lists of parts; 8 shape numbers in [0, 1] each."""

import numpy as np

from sauropod.demo.shapes import (
    ACCENT,
    DARK,
    LIGHT,
    SECOND,
    Part,
    arc,
    blob,
    box,
    ellipse,
    lerp,
    limb,
    mirrored,
    polygon,
)


def car(p: np.ndarray) -> list[Part]:
    """Return a car from the side, wheels on y = 1."""
    roof, nose = lerp(p[0], -0.35, 0.0), lerp(p[1], 0.3, 0.7)
    r = lerp(p[2], 0.2, 0.28)
    back = lerp(p[3], -0.85, -0.45)
    cabin = polygon((back, 0.3), (back + 0.2, roof), (0.3, roof), (nose, 0.3))
    body = blob((-1, 0.8), (-1, 0.35), (-0.5, 0.27), (0.6, 0.27), (1.0, 0.5), (1, 0.8), points=40)
    parts = [
        Part(cabin, SECOND),
        Part(
            polygon(
                (back + 0.14, 0.27), (back + 0.27, roof + 0.08), (-0.12, roof + 0.08), (-0.12, 0.27)
            ),
            LIGHT,
        ),
        Part(
            polygon((-0.02, 0.27), (-0.02, roof + 0.08), (0.26, roof + 0.08), (nose - 0.1, 0.27)),
            LIGHT,
        ),
        Part(body, 0, True),
        Part(ellipse(0.92, 0.52, 0.08, 0.08), ACCENT),
    ]
    for x in (-0.55, 0.55):
        parts += [
            Part(ellipse(x, 1 - r, r, r), DARK),
            Part(ellipse(x, 1 - r, 0.5 * r, 0.5 * r), LIGHT),
        ]
    return parts


def sailboat(p: np.ndarray) -> list[Part]:
    """Return a boat with a mast and two sails."""
    w, top = lerp(p[0], 0.7, 1.0), lerp(p[1], -1.0, -0.75)
    lean = lerp(p[2], -0.08, 0.08)
    hull = blob(
        (-w, 0.5), (0, 0.52), (w, 0.45), (0.6 * w, 0.9), (0, 0.98), (-0.65 * w, 0.9), points=40
    )
    main = polygon((0.06 + lean, top + 0.05), (0.06, 0.42), (lerp(p[3], 0.5, 0.85), 0.36))
    jib = polygon((lean - 0.04, top + 0.15), (-0.06, 0.42), (-lerp(p[4], 0.4, 0.8), 0.4))
    flag = polygon((lean, top - 0.12), (lean + 0.25, top - 0.05), (lean, top + 0.02))
    return [
        Part(limb((0, 0.6), (lean / 2, 0), (lean, top - 0.1), widths=(0.045, 0.03)), DARK),
        Part(main, 0, True),
        Part(jib, LIGHT),
        Part(flag, ACCENT),
        Part(hull, SECOND),
        Part(limb((-0.85 * w, 0.62), (0, 0.64), (0.85 * w, 0.58), widths=(0.04, 0.04)), ACCENT),
    ]


def rocket(p: np.ndarray) -> list[Part]:
    """Return a rocket on its flame."""
    w, fin = lerp(p[0], 0.24, 0.36), lerp(p[1], 0.5, 0.75)
    flame = lerp(p[2], 0.85, 1.1)
    wing = polygon((0.7 * w, 0.1), (fin, 0.45), (fin, 0.75), (0.5 * w, 0.55))
    left = (-0.7 * w, 0.6), (-w, 0.0), (-0.6 * w, -0.6)
    right = (0.6 * w, -0.6), (w, 0.0), (0.7 * w, 0.6)
    tip = (-0.05, -1.0), (0, -1.05), (0.05, -1.0)
    fire = (-0.6 * w, 0.55), (0.6 * w, 0.55), (0.2 * w, 0.85), (0, flame), (-0.2 * w, 0.85)
    parts = [
        Part(blob(*fire), ACCENT),
        Part(blob((-0.3 * w, 0.55), (0.3 * w, 0.55), (0, 0.85)), LIGHT),
        Part(wing, SECOND),
        Part(mirrored(wing), SECOND),
        Part(blob(*left, (0, -1.05), *right), 0, True),
        Part(blob(left[-1], *tip, right[0], (0, -0.52)), SECOND),
    ]
    for k in range(1 + int(p[3] > 0.5)):
        y = -0.2 + 0.38 * k
        parts += [Part(ellipse(0, y, 0.15, 0.15), DARK), Part(ellipse(0, y, 0.1, 0.1), LIGHT)]
    return parts


def house(p: np.ndarray) -> list[Part]:
    """Return a house front on y = 1."""
    w, eaves, ridge = lerp(p[0], 0.55, 0.8), lerp(p[1], -0.2, 0.15), lerp(p[2], -0.95, -0.55)
    door = lerp(p[3], -0.35, 0.35) * w / 0.8
    parts = [
        Part(box(0.45 * w, ridge + 0.05, 0.45 * w + 0.18, eaves), DARK),
        Part(box(-w, eaves - 0.05, w, 1.0), 0, True),
        Part(polygon((-w - 0.18, eaves), (0, ridge), (w + 0.18, eaves)), SECOND),
        Part(box(door - 0.13, 0.5, door + 0.13, 1.0), ACCENT),
    ]
    for x in (-0.6 * w, 0.6 * w):
        if abs(x - door) > 0.3:
            parts += [
                Part(box(x - 0.15, 0.3, x + 0.15, 0.62), DARK),
                Part(box(x - 0.11, 0.34, x + 0.11, 0.58), LIGHT),
            ]
    return [*parts, Part(ellipse(0, 0.5 * (eaves + ridge) + 0.06, 0.11, 0.11), LIGHT)]


def flower(p: np.ndarray) -> list[Part]:
    """Return a flower with petals around a centre, stem down to y = 1."""
    petals = int(lerp(p[0], 5, 9.99))
    reach, fat = lerp(p[1], 0.3, 0.42), lerp(p[2], 0.12, 0.24)
    bend = lerp(p[3], -0.15, 0.15)
    centre = np.array([0.0, -0.35])
    parts = [
        Part(limb((0, -0.3), (bend, 0.4), (0, 1.0), widths=(0.05, 0.06)), ACCENT),
        Part(blob((0, 0.7), (0.3, 0.3), (0.65, 0.35), (0.4, 0.68)), ACCENT),
        Part(blob((0, 0.85), (-0.3, 0.5), (-0.6, 0.55), (-0.35, 0.85)), ACCENT),
    ]
    for k in range(petals):
        angle = 360 * k / petals
        at = centre + reach * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        parts.append(Part(ellipse(at[0], at[1], 0.28, fat, tilt=angle), 0, True))
    return [*parts, Part(ellipse(0, -0.35, 0.2, 0.2), SECOND)]


def mushroom(p: np.ndarray) -> list[Part]:
    """Return a mushroom with a spotted cap."""
    w, top, stem = lerp(p[0], 0.7, 1.0), lerp(p[1], -0.95, -0.5), lerp(p[2], 0.16, 0.32)
    cap = blob((-w, 0.12), (-0.8 * w, -0.4), (0, top), (0.8 * w, -0.4), (w, 0.12), (0, 0.26))
    spots = [
        Part(ellipse(x * w, y, size, 0.8 * size), LIGHT)
        for x, y, size in (
            (-0.5, -0.15, 0.13),
            (0.05, 0.5 * top - 0.1, 0.17),
            (0.52, -0.1, 0.12),
            (0.0, 0.04, 0.1),
        )
    ]
    return [
        Part(
            blob((-stem, 0.1), (stem, 0.1), (1.3 * stem, 0.95), (0, 1.0), (-1.3 * stem, 0.95)),
            SECOND,
        ),
        Part(cap, 0, True),
        *spots,
    ]


def mug(p: np.ndarray) -> list[Part]:
    """Return a mug with a handle, steaming."""
    w, top, taper = lerp(p[0], 0.42, 0.62), lerp(p[1], -0.5, -0.15), lerp(p[2], 0.7, 1.05)
    handle = arc((w, 0.35), radii=(lerp(p[3], 0.28, 0.42), 0.36), degrees=(-95, 95), points=8)
    parts = [
        Part(limb(*map(tuple, handle), widths=(0.09, 0.09), points=18)),
        Part(polygon((-w, top), (w, top), (taper * w, 0.95), (-taper * w, 0.95)), 0, True),
        Part(ellipse(0, 0.95, taper * w, 0.06), 0, True),
        Part(ellipse(0, top, w, 0.13), LIGHT),
        Part(ellipse(0, top + 0.02, 0.85 * w, 0.09), DARK),
    ]
    return parts + [
        Part(
            limb((x, top - 0.15), (x + 0.1, top - 0.32), (x, top - 0.52), widths=(0.03, 0.02)),
            LIGHT,
        )
        for x in (-0.15, 0.15)
    ]


def umbrella(p: np.ndarray) -> list[Part]:
    """Return an open umbrella with a hooked handle."""
    rim, top = lerp(p[0], -0.15, 0.1), lerp(p[1], -1.0, -0.75)
    panels = int(lerp(p[2], 4, 6.99))
    edges = np.linspace(-1, 1, panels + 1)
    parts = [
        Part(
            limb((0, rim), (0, 0.8), (0.12, 0.97), (0.25, 0.8), widths=(0.04, 0.045), points=18),
            DARK,
        )
    ]
    for k in range(panels):
        low, high = edges[k], edges[k + 1]
        side = [(0.62 * x, 0.62 * top + 0.38 * rim) for x in (low, high)]
        panel = blob(
            (0, top),
            (side[0][0] * 1.12, side[0][1]),
            (low, rim),
            ((low + high) / 2, rim - 0.1),
            (high, rim),
            (side[1][0] * 1.12, side[1][1]),
            points=26,
        )
        parts.append(Part(panel, (0, SECOND)[k % 2], k % 2 == 0))
    return [
        *parts,
        Part(limb((0, top + 0.02), (0, top - 0.05), (0, top - 0.12), widths=(0.03, 0.03)), DARK),
    ]


def balloon(p: np.ndarray) -> list[Part]:
    """Return a hot-air balloon with its basket."""
    w, low = lerp(p[0], 0.6, 0.75), lerp(p[1], 0.25, 0.4)
    gores = int(lerp(p[2], 2, 4.99))
    parts = [
        Part(
            limb((x, low - 0.1), (0.8 * x, low + 0.2), (0.6 * x, 0.75), widths=(0.015, 0.015)), DARK
        )
        for x in (-0.22, 0.22)
    ]
    for k in range(gores, 0, -1):
        f = k / gores
        outline = blob(
            (-0.25 * f, low), (-w * f, -0.35), (0, -1.0), (w * f, -0.35), (0.25 * f, low)
        )
        parts.append(Part(outline, (0, SECOND)[(gores - k) % 2], (gores - k) % 2 == 0))
    return [
        *parts,
        Part(box(-0.2, low - 0.06, 0.2, low + 0.04), ACCENT),
        Part(box(-0.18, 0.7, 0.18, 1.0), DARK),
        Part(box(-0.2, 0.68, 0.2, 0.76), ACCENT),
    ]


def cactus(p: np.ndarray) -> list[Part]:
    """Return a cactus in a pot (in no curated set)."""
    w, left, right = lerp(p[0], 0.2, 0.3), lerp(p[1], -0.5, 0.0), lerp(p[2], -0.6, 0.1)
    return [
        Part(limb((0, 0.3), (0.6, 0.15), (0.62, right), widths=(0.13, 0.13), points=16), 0, True),
        Part(limb((0, 0.35), (-0.6, 0.3), (-0.62, left), widths=(0.13, 0.13), points=16), 0, True),
        Part(limb((0, 0.7), (0, 0), (0, -0.7), widths=(w, w)), 0, True),
        Part(ellipse(0, -0.92, 0.12, 0.1), ACCENT),
        Part(polygon((-0.45, 0.55), (0.45, 0.55), (0.34, 1), (-0.34, 1)), SECOND),
    ]


def robot(p: np.ndarray) -> list[Part]:
    """Return a boxy robot (in no curated set)."""
    w, head = lerp(p[0], 0.35, 0.5), lerp(p[1], 0.25, 0.38)
    parts = [
        *(Part(box(x - 0.1, 0.6, x + 0.1, 1.0), DARK) for x in (-0.22, 0.22)),
        *(
            Part(limb((x, 0.0), (1.45 * x, 0.25), (1.3 * x, 0.6), widths=(0.09, 0.09)), SECOND)
            for x in (-w - 0.05, w + 0.05)
        ),
        Part(box(-0.03, -0.98, 0.03, -0.6), DARK),
        Part(ellipse(0, -0.98, 0.08, 0.08), ACCENT),
        Part(box(-w, -0.12, w, 0.66), 0, True),
        Part(box(-head, -0.72, head, -0.16), SECOND),
        Part(box(-0.2, 0.1, 0.2, 0.36), LIGHT),
        Part(box(-0.18, -0.32, 0.18, -0.25), DARK),
    ]
    for x in (-0.14, 0.14):
        parts += [Part(ellipse(x, -0.5, 0.1, 0.1), LIGHT), Part(ellipse(x, -0.5, 0.05, 0.05), DARK)]
    return parts


def icecream(p: np.ndarray) -> list[Part]:
    """Return a cone with scoops (in no curated set)."""
    scoops = int(lerp(p[0], 1, 3.99))
    r = lerp(p[1], 0.3, 0.4)
    parts = [Part(polygon((-r - 0.02, 0.1), (r + 0.02, 0.1), (0, 1.0)), SECOND, True)]
    for k in range(scoops):
        size = r * (1 - 0.12 * k)
        parts.append(
            Part(ellipse(0, -0.05 - 0.4 * k, size + 0.05, size), (0, LIGHT, ACCENT)[k], k == 0)
        )
    return [*parts, Part(ellipse(0, -0.35 - 0.4 * (scoops - 1), 0.09, 0.09), ACCENT)]


def saucer(p: np.ndarray) -> list[Part]:
    """Return a flying saucer (in no curated set)."""
    h, dome = lerp(p[0], 0.2, 0.34), lerp(p[1], 0.35, 0.5)
    lights = int(lerp(p[2], 3, 6.99))
    return [
        Part(
            arc((0, -0.02), radii=(dome, lerp(p[3], 0.4, 0.7)), degrees=(180, 360), points=16),
            LIGHT,
        ),
        Part(ellipse(0, 0.1, 1.0, h), 0, True),
        Part(ellipse(0, 0.02, 0.6, 0.4 * h), SECOND),
        *(
            Part(ellipse(x, 0.1 + 0.6 * h, 0.07, 0.06), ACCENT)
            for x in np.linspace(-0.65, 0.65, lights)
        ),
    ]
