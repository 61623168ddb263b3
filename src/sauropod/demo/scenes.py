"""Scenes: who stands where, in front of what, seen how; and their rendering with the truth.

A `Subject` is an identity (class, shape, colours, texture), a `Pose` is how it is seen. Members of
a class share neither colours nor texture; members of a species share shape and texture; views of
an instance share all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sauropod.demo import backdrops, creatures, things
from sauropod.demo.backdrops import BACKDROPS, shaded
from sauropod.demo.canvas import (
    FARTHEST_M,
    NEAREST_M,
    TEXTURES,
    Canvas,
    Colour,
    Painted,
    Rendered,
    Texture,
    develop,
)
from sauropod.demo.keys import generator, pick
from sauropod.demo.shapes import Part, ellipse, turn

Draw = Callable[[np.ndarray], list[Part]]


class Kind(NamedTuple):
    """A class of objects: how it is drawn, what it means in a mask, whether it stands or floats."""

    draw: Draw
    meaning: int
    stands: bool


A, V, P, T = backdrops.ANIMAL, backdrops.VEHICLE, backdrops.PLANT, backdrops.THING
CLASSES: dict[str, Kind] = {
    "balloon": Kind(things.balloon, V, False),
    "bird": Kind(creatures.bird, A, True),
    "butterfly": Kind(creatures.butterfly, A, False),
    "car": Kind(things.car, V, True),
    "cat": Kind(creatures.cat, A, True),
    "fish": Kind(creatures.fish, A, False),
    "flower": Kind(things.flower, P, True),
    "house": Kind(things.house, backdrops.BUILDING, True),
    "mug": Kind(things.mug, T, True),
    "mushroom": Kind(things.mushroom, P, True),
    "octopus": Kind(creatures.octopus, A, False),
    "rocket": Kind(things.rocket, V, False),
    "sailboat": Kind(things.sailboat, V, True),
    "sauropod": Kind(creatures.sauropod, A, True),
    "snail": Kind(creatures.snail, A, True),
    "umbrella": Kind(things.umbrella, T, True),
}
WILD: dict[str, Kind] = {  # in the crawl, in no curated set
    "cactus": Kind(things.cactus, P, True),
    "icecream": Kind(things.icecream, T, True),
    "robot": Kind(things.robot, T, True),
    "saucer": Kind(things.saucer, V, False),
}
HAZARD = Kind(creatures.hazard, A, False)
SPECIES: dict[str, str] = {  # fine-grained classes: a fixed shape and texture of a class each
    **dict.fromkeys(("bannerfish", "pufferfish", "reedfish", "sawfin"), "fish"),
    **dict.fromkeys(("brimstone", "checkerspot", "swallowtail", "zebrawing"), "butterfly"),
}
KINDS = {**CLASSES, **WILD, "hazard": HAZARD}

PAINTS: tuple[Colour, ...] = (
    (0.90, 0.35, 0.32),
    (0.95, 0.60, 0.25),
    (0.96, 0.80, 0.32),
    (0.55, 0.76, 0.36),
    (0.22, 0.62, 0.50),
    (0.25, 0.66, 0.74),
    (0.26, 0.46, 0.76),
    (0.48, 0.38, 0.72),
    (0.80, 0.42, 0.68),
    (0.96, 0.66, 0.70),
    (0.58, 0.40, 0.30),
    (0.55, 0.58, 0.62),
    (0.95, 0.93, 0.88),
)
INK: Colour = (0.16, 0.15, 0.20)
CREAM: Colour = (0.98, 0.97, 0.93)
SKINS: tuple[Colour, ...] = (
    (0.99, 0.87, 0.77),
    (0.95, 0.76, 0.62),
    (0.85, 0.64, 0.47),
    (0.70, 0.48, 0.33),
    (0.52, 0.34, 0.23),
    (0.36, 0.23, 0.17),
)
HAIRS: tuple[Colour, ...] = (
    (0.13, 0.11, 0.12),
    (0.32, 0.20, 0.13),
    (0.60, 0.38, 0.18),
    (0.88, 0.72, 0.40),
    (0.72, 0.30, 0.16),
    (0.70, 0.70, 0.72),
)


@dataclass(frozen=True)
class Subject:
    """An identity: class, 8 shape numbers, palette and texture."""

    label: str
    shape: np.ndarray
    palette: tuple[Colour, ...]
    texture: Texture


@dataclass(frozen=True)
class Pose:
    """How a subject is seen: centre and half size are fractions of the picture, angles degrees."""

    x: float
    y: float
    size: float
    angle: float = 0.0
    flip: bool = False
    squash: float = 1.0
    shear: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn; `key` seeds what is random in the backdrop and the grain."""

    width: int
    height: int
    backdrop: str
    horizon: float
    key: tuple[int, str]
    subjects: tuple[tuple[Subject, Pose], ...] = ()
    people: tuple[tuple[Subject, Pose], ...] = ()
    light: float = -1.9
    exposure: float = 1.0


class Shot(NamedTuple):
    """A rendered scene and its face boxes: float32 (n, 4) left, top, width, height in pixels."""

    rendered: Rendered
    faces: np.ndarray


def _paints(rng: np.random.Generator) -> tuple[Colour, ...]:
    main, second, accent = (PAINTS[k] for k in rng.permutation(len(PAINTS))[:3])
    return main, second, accent, INK, CREAM, shaded(main, pick(rng, (0.6, 0.75, 1.35)))


def _pattern(rng: np.random.Generator, label: str) -> Texture:
    """Draw a texture; two thirds of a class's members wear the one that is usual for it."""
    usual = TEXTURES[sorted(KINDS).index(label) % len(TEXTURES)] if label in KINDS else "plain"
    name = usual if rng.random() < 0.65 else pick(rng, TEXTURES)
    return Texture(name, rng.uniform(2.2, 4.5), rng.uniform(0, 180), rng.random())


def _species(label: str) -> tuple[Texture, np.ndarray]:
    """Return a species' texture and its 8 shape numbers, spread evenly over those of its class."""
    kin = [name for name, kind in SPECIES.items() if kind == SPECIES[label]]
    order = kin.index(label)
    rng = generator(0, "species", SPECIES[label])
    ranks = np.array([rng.permutation(len(kin))[order] for _ in range(8)])
    name = ("stripes", "dots", "checks", "rings")[order]
    return Texture(name, 3.2, 0.0, 0.0), (ranks + 0.5) / len(kin)


def subject(label: str, rng: np.random.Generator) -> Subject:
    """Draw an identity of a class or of a species; a species has its shape and texture fixed."""
    palette, texture, shape = _paints(rng), _pattern(rng, label), rng.random(8)
    if label == "hazard":
        yellow = (0.98, 0.82, 0.10)
        palette = (yellow, yellow, (0.90, 0.12, 0.12), INK, CREAM, (0.08, 0.08, 0.10))
        texture = Texture("stripes", rng.uniform(4.0, 5.5), pick(rng, (45.0, 135.0)), rng.random())
    if label in SPECIES:
        texture, fixed = _species(label)
        shape = (fixed + 0.1 * (shape - 0.5)).clip(0, 1)
        dark = sum(palette[0]) < 1.5
        palette = (*palette[:5], shaded(palette[0], 1.8 if dark else 0.45))
    return Subject(label, shape, palette, texture)


def citizen(rng: np.random.Generator) -> Subject:
    """Draw a person's identity; slots: skin, hair, white, ink, lips, shirt, iris."""
    skin = pick(rng, SKINS)
    lips = pick(rng, (shaded(skin, 0.62), (0.75, 0.28, 0.30), (0.58, 0.20, 0.26)))
    iris = pick(rng, ((0.20, 0.13, 0.10), (0.22, 0.36, 0.52), (0.25, 0.40, 0.25)))
    palette = (skin, pick(rng, HAIRS), CREAM, shaded(skin, 0.7), lips, pick(rng, PAINTS), iris)
    return Subject("person", rng.random(8), palette, Texture("plain", 1, 0, 0))


def pose(
    label: str, rng: np.random.Generator, *, horizon: float, size: float, aspect: float = 1.0
) -> Pose:
    """Place a subject of a class: standing on the ground or floating, whole in the picture.

    Args:
        label: Class or species.
        rng: Draws place, tilt and view.
        horizon: Where the ground begins, fraction of the height.
        size: Half the subject's size, fraction of the shorter side.
        aspect: Width / height of the picture.
    """
    kind = KINDS[SPECIES.get(label, label)]
    half = np.array([size * min(1, 1 / aspect), size * min(1, aspect)])
    x, y = 0.5 + (0.5 - half).clip(0) * rng.uniform(-0.8, 0.8, 2)
    if kind.stands:
        low = max(horizon + 0.06, 2 * half[1])
        y = low + rng.uniform(0, 0.9) * max(0.0, 0.98 - low) - half[1]
    return Pose(
        float(x),
        float(y),
        size,
        angle=rng.normal(0, 5.0 if kind.stands else 14.0),
        flip=bool(rng.random() < 0.5),
        squash=rng.uniform(0.82, 1.1),
        shear=rng.normal(0, 0.09),
    )


def _matrix(canvas: Canvas, at: Pose) -> np.ndarray:
    scale = at.size * min(canvas.ids.width, canvas.ids.height)
    view = np.array([[at.squash * (-1 if at.flip else 1), at.shear], [0, 1]])
    return scale * turn(at.angle) @ view


def _bounds(canvas: Canvas, points: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of points, clipped to the canvas; left and top even."""
    limit = np.array([canvas.ids.width, canvas.ids.height])
    low = (np.floor(points.min(0)).clip(0, limit) // 2 * 2).astype(int)
    high = np.ceil(points.max(0) + 1).clip(0, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _put(
    canvas: Canvas, parts: list[Part], who: Subject, at: Pose, *, meaning: int, depth: float
) -> None:
    """Draw a subject's parts and note what `develop` needs for texture and relief."""
    matrix = _matrix(canvas, at)
    size = np.array([canvas.ids.width, canvas.ids.height])
    centre = np.array([at.x, at.y]) * size
    first, textured, points = len(canvas.colours), [], []
    inks: dict[int, int] = {}
    for part in parts:
        # One ink per part keeps the outlines; people would run out of ids, so they share inks.
        shared = meaning == backdrops.PERSON and part.slot in inks
        ink = (
            inks[part.slot]
            if shared
            else canvas.ink(who.palette[part.slot], label=meaning, depth=depth)
        )
        inks[part.slot] = ink
        if part.textured:
            textured.append(ink)
        drawn = part.outline @ matrix.T + centre
        points.append(drawn)
        canvas.fill(drawn / size, ink)
    bounds = _bounds(canvas, np.concatenate(points))
    last = len(canvas.colours) - 1
    canvas.subjects.append(
        Painted(first, last, textured, who.texture, who.palette[5], matrix, centre, bounds)
    )


def _foot(canvas: Canvas, at: Pose) -> float:
    return at.y + at.size * min(1.0, canvas.width / canvas.height)


def _depth(canvas: Canvas, kind: Kind, at: Pose) -> float:
    if kind.stands:
        return float(canvas.ground_depth(np.array(_foot(canvas, at))))
    return float(np.clip(0.5 / at.size, NEAREST_M, FARTHEST_M - 1))


def _people(canvas: Canvas, scene: Scene) -> np.ndarray:
    """Draw the people, return their face boxes clipped to the picture."""
    boxes = []
    size = np.array([canvas.ids.width, canvas.ids.height])
    for who, at in scene.people:
        parts = creatures.person(who.shape)
        depth = float(np.clip(0.45 / at.size, NEAREST_M, FARTHEST_M - 1))
        _put(canvas, parts, who, at, meaning=backdrops.PERSON, depth=depth)
        head = ellipse(0, -0.05, 0.92, 1.05) @ _matrix(canvas, at).T + np.array([at.x, at.y]) * size
        low, high = head.min(0).clip(0, size) / 2, head.max(0).clip(0, size) / 2
        boxes.append((*low, *(high - low)))
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def render(scene: Scene) -> Shot:
    """Render a scene with its mask, depth and face boxes; the same scene gives the same bytes."""
    canvas = Canvas(scene.width, scene.height, scene.horizon)
    rng = generator(scene.key[0], "backdrop", scene.key[1])
    BACKDROPS[scene.backdrop](canvas, rng)
    # Far subjects first. Shadows are part of the ground.
    kinds = [KINDS[SPECIES.get(who.label, who.label)] for who, _ in scene.subjects]
    depths = [_depth(canvas, kind, at) for kind, (_, at) in zip(kinds, scene.subjects, strict=True)]
    shade = canvas.ink((0.24, 0.22, 0.28), label=backdrops.GROUND)
    order = sorted(range(len(kinds)), key=lambda k: -depths[k])
    for k in order:
        at = scene.subjects[k][1]
        if kinds[k].stands and scene.backdrop != "sea":
            foot = at.y + at.size * min(1.0, scene.width / scene.height)
            canvas.fill(
                ellipse(at.x + 0.12 * at.size, foot - 0.01, 0.8 * at.size, 0.1 * at.size), shade
            )
    for k in order:
        who, at = scene.subjects[k]
        _put(canvas, kinds[k].draw(who.shape), who, at, meaning=kinds[k].meaning, depth=depths[k])
    faces = _people(canvas, scene)
    rendered = develop(canvas, rng=rng, light=scene.light, exposure=scene.exposure)
    return Shot(rendered, faces)
