"""Animals and people as lists of parts; every function takes 8 shape numbers in [0, 1]."""

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
    rays,
)


def eye(x: float, y: float, size: float) -> list[Part]:
    """Return a round eye with a pupil."""
    return [
        Part(ellipse(x, y, size, size), LIGHT),
        Part(ellipse(x + 0.25 * size, y, 0.6 * size, 0.6 * size), DARK),
    ]


def sauropod(p: np.ndarray) -> list[Part]:
    """Return a long-necked dinosaur, standing on y = 1."""
    rx, ry = lerp(p[0], 0.42, 0.54), lerp(p[1], 0.26, 0.36)
    hx, hy = lerp(p[2], 0.7, 0.95), lerp(p[3], -0.95, -0.6)
    parts = [
        Part(limb((-0.3, 0.35), (-0.75, 0.5), (-1.0, lerp(p[4], 0.3, 0.8)), widths=(0.2, 0.02))),
        *(
            Part(limb((x, 0.4), (x, 0.7), (x, 0.97), widths=(0.13, 0.1)), slot)
            for x, slot in ((-0.22, SECOND), (0.3, SECOND))
        ),
        Part(limb((0.25, 0.3), (0.6, 0.0), (hx - 0.15, hy), widths=(0.24, 0.08), points=16)),
        Part(ellipse(hx, hy, 0.18, 0.1, tilt=12)),
    ]
    if p[5] > 0.5:
        parts += [
            Part(polygon((x - 0.09, 0.1), (x, -0.12), (x + 0.09, 0.1)), ACCENT)
            for x in (-0.4, -0.2, 0.0, 0.2)
        ]
    parts.append(Part(ellipse(0, 0.33, rx, ry), textured=True))
    parts += [Part(limb((x, 0.4), (x, 0.7), (x, 1.0), widths=(0.14, 0.12))) for x in (-0.35, 0.18)]
    return parts + eye(hx + 0.02, hy - 0.03, 0.05)


def fish(p: np.ndarray) -> list[Part]:
    """Return a fish swimming to the right."""
    rx, ry = lerp(p[0], 0.55, 0.72), lerp(p[1], 0.26, 0.55)
    spread, fork = lerp(p[2], 0.25, 0.5), lerp(p[3], 0.0, 0.25)
    fin = lerp(p[4], 0.15, 0.5)
    tail = polygon((-0.45, 0), (-1, -spread), (-1 + fork, 0), (-1, spread))
    return [
        Part(tail, SECOND),
        Part(polygon((-0.3, -0.5 * ry), (-0.25, -ry - fin), (0.25, -0.8 * ry)), SECOND),
        Part(polygon((-0.2, 0.6 * ry), (-0.25, ry + 0.6 * fin), (0.1, 0.8 * ry)), SECOND),
        Part(
            blob((rx + 0.12, 0.02), (0.25, -ry), (-0.55, -0.12), (-0.55, 0.12), (0.25, ry)), 0, True
        ),
        Part(limb((0.05, 0.08), (-0.12, 0.16), (-0.2, 0.3 * ry + 0.1), widths=(0.1, 0.03)), ACCENT),
        *eye(rx - 0.18, -0.12 * (1 + ry), 0.1),
    ]


def bird(p: np.ndarray) -> list[Part]:
    """Return a round bird on two legs, looking right."""
    r, head = lerp(p[0], 0.42, 0.55), lerp(p[1], 0.22, 0.32)
    hx, hy = 0.42, lerp(p[2], -0.55, -0.35)
    beak = lerp(p[3], 0.18, 0.42)
    parts = [
        Part(limb((x, 0.5), (x, 0.97), (x + 0.14, 1.0), widths=(0.04, 0.035)), ACCENT)
        for x in (-0.1, 0.14)
    ]
    parts += [
        Part(
            polygon((-0.3, 0.1), (-1, lerp(p[4], -0.2, 0.4)), (-0.85, 0.55), (-0.3, 0.45)), SECOND
        ),
        Part(
            polygon((hx + 0.15, hy - 0.1), (hx + head + beak, hy + 0.04), (hx + 0.15, hy + 0.14)),
            ACCENT,
        ),
        Part(ellipse(0, 0.22, r + 0.1, r, tilt=-15), textured=True),
        Part(ellipse(hx, hy, head, head)),
        Part(blob((0.2, 0.1), (-0.1, -0.08), (-0.6, 0.25), (-0.2, 0.5)), SECOND),
    ]
    if p[5] > 0.5:
        parts.append(
            Part(
                polygon((hx - 0.12, hy - 0.15), (hx - 0.2, hy - 0.52), (hx + 0.1, hy - 0.2)), SECOND
            )
        )
    return parts + eye(hx + 0.08, hy - 0.04, 0.08)


def butterfly(p: np.ndarray) -> list[Part]:
    """Return a butterfly seen from above."""
    w, h = lerp(p[0], 0.75, 1.0), lerp(p[1], 0.45, 0.95)
    low, tail = lerp(p[2], 0.35, 0.75), lerp(p[3], 0.5, 1.0)
    upper = blob((0.05, -0.05), (0.35, -h), (w, -0.75 * h), (0.8 * w, 0.02))
    lower = blob((0.05, 0.05), (low, 0.05), (low, 0.6 * tail), (0.2, tail))
    spot = ellipse(0.62 * w, -0.5 * h, lerp(p[4], 0.06, 0.16), lerp(p[4], 0.06, 0.16))
    drop = ellipse(0.65 * low, 0.4 * tail, lerp(p[5], 0.04, 0.13), lerp(p[5], 0.04, 0.13))
    parts = []
    for side in (upper, lower):
        slot = 0 if side is upper else SECOND
        parts += [Part(side, slot, True), Part(mirrored(side), slot, True)]
    for mark in (spot, drop):
        parts += [Part(mark, ACCENT), Part(mirrored(mark), ACCENT)]
    feeler = limb((0, -0.35), (0.12, -0.7), (0.3, -0.85), widths=(0.025, 0.03))
    return [
        *parts,
        Part(feeler, DARK),
        Part(mirrored(feeler), DARK),
        Part(ellipse(0, 0.05, 0.07, 0.5), DARK),
    ]


def snail(p: np.ndarray) -> list[Part]:
    """Return a snail crawling to the right."""
    r, y = lerp(p[0], 0.48, 0.62), lerp(p[1], 0.1, 0.25)
    neck = lerp(p[2], -0.25, 0.2)
    turns = int(lerp(p[3], 2, 4.99))
    parts = [
        Part(
            limb(
                (-0.95, 0.95), (0.0, 0.85), (0.6, 0.75), (0.78, neck), widths=(0.1, 0.15), points=16
            ),
            SECOND,
        ),
        *(
            Part(
                limb((0.72, neck), (x, neck - 0.2), (x + 0.05, neck - 0.42), widths=(0.04, 0.05)),
                SECOND,
            )
            for x in (0.68, 0.85)
        ),
        Part(ellipse(-0.12, y, r, r), textured=True),
    ]
    for k in range(1, turns):
        size = r * (1 - k / turns)
        parts.append(
            Part(
                ellipse(-0.12 + 0.12 * k * r, y + 0.08 * k * r, size, size),
                (ACCENT, 0)[k % 2],
                k % 2 == 0,
            )
        )
    return [*parts, *eye(0.73, neck - 0.42, 0.07), *eye(0.92, neck - 0.42, 0.07)]


def cat(p: np.ndarray) -> list[Part]:
    """Return a sitting cat facing the viewer."""
    w, head = lerp(p[0], 0.38, 0.52), lerp(p[1], 0.36, 0.46)
    ear = lerp(p[2], 0.3, 0.5)
    tip = lerp(p[3], -0.3, 0.5)
    triangle = polygon((0.08, -0.75), (0.85 * head, -0.62 - ear), (head, -0.45))
    inner = polygon((0.16, -0.7), (0.72 * head, -0.52 - ear), (0.8 * head, -0.5))
    nose = polygon((-0.06, -0.36), (0.06, -0.36), (0, -0.28))
    parts = [
        Part(limb((0.2, 0.85), (0.85, 0.8), (0.85, tip), widths=(0.12, 0.07), points=14), 0, True),
        Part(blob((-w, 0.9), (-0.25, -0.25), (0.25, -0.25), (w, 0.9), (0, 1.02)), 0, True),
        Part(ellipse(0, 0.45, 0.5 * w, 0.38), SECOND),
        *(Part(ellipse(x, 0.92, 0.16, 0.1), SECOND) for x in (-0.2, 0.2)),
        *(Part(shape, slot) for shape, slot in ((triangle, 0), (mirrored(triangle), 0))),
        *(Part(shape, ACCENT) for shape in (inner, mirrored(inner))),
        Part(ellipse(0, -0.42, head + 0.06, head), 0, True),
        Part(ellipse(0, -0.27, 0.2, 0.15), LIGHT),
        Part(nose, ACCENT),
    ]
    for x in (-0.19, 0.19):
        parts += [Part(ellipse(x, -0.5, 0.1, 0.1), LIGHT), Part(ellipse(x, -0.5, 0.05, 0.09), DARK)]
    return parts


def octopus(p: np.ndarray) -> list[Part]:
    """Return an octopus with curling arms."""
    arms = int(lerp(p[0], 5, 8.99))
    w, h = lerp(p[1], 0.42, 0.6), lerp(p[2], 0.45, 0.62)
    swing = lerp(p[3], 0.1, 0.35)
    parts = []
    for k in range(arms):
        x = -0.8 + 1.6 * k / (arms - 1)
        bend = swing * (-1) ** k
        path = (0.4 * x, 0.0), (0.8 * x + bend, 0.4), (x - bend, 0.75), (x + 0.5 * bend, 1.0)
        parts.append(Part(limb(*path, widths=(0.13, 0.04), points=14), (0, SECOND)[k % 2]))
    parts.append(
        Part(blob((-w, 0.15), (-w, -0.5), (0, -0.45 - h), (w, -0.5), (w, 0.15), (0, 0.3)), 0, True)
    )
    for x in (-0.2, 0.2):
        parts += [
            Part(ellipse(x, -0.15, 0.13, 0.15), LIGHT),
            Part(ellipse(x, -0.12, 0.06, 0.09), DARK),
        ]
    return [*parts, Part(limb((-0.12, 0.1), (0, 0.15), (0.12, 0.1), widths=(0.025, 0.025)), DARK)]


def hazard(p: np.ndarray) -> list[Part]:
    """Return the one creature the demo calls unsafe: spiky, hazard striped, with a single eye."""
    spikes = int(lerp(p[0], 9, 14.99))
    inner = lerp(p[1], 0.6, 0.72)
    teeth = [
        Part(polygon((x - 0.09, 0.3), (x + 0.09, 0.3), (x, 0.46)), LIGHT)
        for x in (-0.27, -0.09, 0.09, 0.27)
    ]
    return [
        Part(rays(spikes, inner=inner, outer=1.0, offset=90 * float(p[2])), 0, True),
        Part(ellipse(0, -0.1, 0.34, 0.3), LIGHT),
        Part(ellipse(lerp(p[3], -0.1, 0.1), -0.08, 0.17, 0.19), ACCENT),
        Part(ellipse(lerp(p[3], -0.1, 0.1), -0.08, 0.07, 0.12), DARK),
        Part(box(-0.38, 0.28, 0.38, 0.5), DARK),
        *teeth,
    ]


SKIN, HAIR, WHITE, INK, LIPS, SHIRT, IRIS = range(7)  # palette slots of a person


def hair(style: int) -> tuple[list[Part], list[Part]]:
    """Return what lies behind and in front of the head: short, long, bun, curls, bald, fringe."""
    cap = blob(
        (-0.84, -0.2),
        (-0.8, -0.9),
        (0, -1.18),
        (0.8, -0.9),
        (0.84, -0.2),
        (0.5, -0.62),
        (-0.4, -0.66),
    )
    fringe = blob(
        (-0.84, -0.1), (-0.8, -0.9), (0, -1.18), (0.8, -0.9), (0.84, -0.1), (0, -0.3), points=30
    )
    long = blob((-0.95, 0.9), (-0.95, -0.5), (0, -1.2), (0.95, -0.5), (0.95, 0.9), (0, 0.6))
    bun = ellipse(0, -1.2, 0.36, 0.32)
    curls = [
        Part(ellipse(0.86 * np.sin(a), -0.2 - 0.86 * np.cos(a), 0.32, 0.32), HAIR)
        for a in np.linspace(-1.7, 1.7, 9)
    ]
    behind = ([], [Part(long, HAIR)], [Part(bun, HAIR)], curls, [], [Part(long, HAIR)])[style]
    front = ([Part(cap, HAIR)], [Part(cap, HAIR)], [Part(cap, HAIR)], [], [], [Part(fringe, HAIR)])[
        style
    ]
    return behind, front


def mouth(mood: int) -> list[Part]:
    """Return a smile, a laugh, a straight line, or an open mouth."""
    if mood == 0:
        return [Part(limb((-0.3, 0.45), (0, 0.6), (0.3, 0.45), widths=(0.05, 0.05)), LIPS)]
    if mood == 1:
        laugh = arc((0, 0.42), radii=(0.34, 0.3), degrees=(0, 180), points=12)
        return [Part(laugh, LIPS), Part(box(-0.26, 0.42, 0.26, 0.5), WHITE)]
    if mood == 2:
        return [Part(box(-0.24, 0.49, 0.24, 0.57), LIPS)]
    return [Part(ellipse(0, 0.54, 0.14, 0.18), LIPS)]


def eyes(gap: float, brow: float, look: float) -> list[Part]:
    """Return a person's eyes and brows."""
    parts = []
    for x in (-gap, gap):
        line = (x - 0.16, brow + 0.06), (x, brow), (x + 0.16, brow + 0.06)
        parts += [
            Part(ellipse(x, -0.05, 0.17, 0.14), WHITE),
            Part(ellipse(x + look, -0.04, 0.09, 0.11), IRIS),
            Part(limb(*line, widths=(0.05, 0.05)), HAIR),
        ]
    return parts


def person(p: np.ndarray) -> list[Part]:
    """Return a head and shoulders, the head 2 units high around (0, 0)."""
    wide = lerp(p[0], 0.74, 0.86)
    behind, front = hair(int(lerp(p[1], 0, 5.99)))
    shoulders = blob((-1.5, 2.6), (-1.2, 1.4), (-0.4, 1.05), (0.4, 1.05), (1.2, 1.4), (1.5, 2.6))
    upper = (-wide, -0.1), (-0.55, -0.85), (0.55, -0.85), (wide, -0.1)
    return [
        Part(shoulders, SHIRT),
        Part(box(-0.3, 0.7, 0.3, 1.25), SKIN),
        *behind,
        *(Part(ellipse(x, 0.05, 0.16, 0.22), SKIN) for x in (-wide, wide)),
        Part(blob(*upper, (0.5, 0.75), (0, 1.0), (-0.5, 0.75)), SKIN),
        *front,
        *eyes(lerp(p[2], 0.28, 0.36), lerp(p[3], -0.42, -0.3), lerp(p[4], -0.05, 0.05)),
        Part(limb((0, 0.0), (0.07, 0.2), (-0.03, 0.26), widths=(0.03, 0.05)), INK),
        *mouth(int(lerp(p[5], 0, 3.99))),
    ]
