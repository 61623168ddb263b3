"""Draw scenes at random: one subject, many, people, places; all keyed by seed and name."""

import numpy as np

from sauropod.demo.backdrops import BACKDROPS, PLACES
from sauropod.demo.keys import generator, pick
from sauropod.demo.scenes import CLASSES, WILD, Pose, Scene, Subject, citizen, pose, subject

Key = tuple[int, str]  # seed and name of a scene


def frame(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """Return a width and height whose longer side is about `size`, like photos on the web."""
    longer = int(size * rng.uniform(0.85, 1.15))
    shorter = int(longer * pick(rng, (1.0, 1.0, 0.75, 0.8, 0.9)))
    return (longer, shorter) if rng.random() < 0.6 else (shorter, longer)


def _setting(
    rng: np.random.Generator, key: Key, width: int, height: int, backdrop: str = ""
) -> Scene:
    return Scene(
        width=width,
        height=height,
        backdrop=backdrop or pick(rng, (*BACKDROPS, "studio")),
        horizon=rng.uniform(0.45, 0.68),
        key=key,
        light=rng.uniform(-2.4, -0.8),
        exposure=rng.uniform(0.85, 1.08),
    )


def _with(scene: Scene, **changes: object) -> Scene:
    return Scene(**{**scene.__dict__, **changes})


def portrait(label: str, key: Key, *, width: int, height: int, size: float = 0.4) -> Scene:
    """Draw a scene with one subject of a class, filling about 2 * size of the shorter side."""
    rng = generator(key[0], "portrait", key[1])
    scene = _setting(rng, key, width, height)
    return staged(subject(label, rng), scene, rng, size=size * rng.uniform(0.82, 1.15))


def staged(who: Subject, scene: Scene, rng: np.random.Generator, *, size: float) -> Scene:
    """Put one subject into a scene."""
    aspect = scene.width / scene.height
    at = pose(who.label, rng, horizon=scene.horizon, size=size, aspect=aspect)
    return _with(scene, subjects=((who, at),))


def view(who: Subject, key: Key, *, width: int, height: int) -> Scene:
    """Draw a view of one given subject: another place, light, size and angle."""
    rng = generator(key[0], "view", key[1])
    scene = _setting(rng, key, width, height)
    return staged(who, scene, rng, size=rng.uniform(0.26, 0.44))


def street(key: Key, *, width: int, height: int, people: int = 0) -> Scene:
    """Draw a scene with several subjects at different depths, for masks and depth maps."""
    rng = generator(key[0], "street", key[1])
    scene = _setting(rng, key, width, height, pick(rng, tuple(PLACES)))
    cast = []
    for _ in range(int(rng.integers(2, 5))):
        who = subject(pick(rng, (*CLASSES, *WILD)), rng)
        size = rng.uniform(0.1, 0.3)
        cast.append((who, pose(who.label, rng, horizon=scene.horizon, size=size)))
    return visited(_with(scene, subjects=tuple(cast)), rng, people=people)


def place(label: str, key: Key, *, width: int, height: int) -> Scene:
    """Draw a landscape or a room with nothing much in it."""
    rng = generator(key[0], "place", key[1])
    return _setting(rng, key, width, height, label)


def visited(
    scene: Scene,
    rng: np.random.Generator,
    *,
    people: int,
    head_pixels: tuple[float, float] = (12, 44),
) -> Scene:
    """Put people into a scene, heads of a number of pixels high, side by side."""
    cast = []
    aspect = scene.width / scene.height
    shorter = min(scene.width, scene.height)
    for k in range(people):
        head = min(rng.uniform(*head_pixels), 0.62 * shorter, 0.8 * scene.width / people)
        size = head / 2 / shorter
        tall = size * min(1, aspect)
        x = (k + 0.5 + rng.uniform(-0.12, 0.12)) / people if people > 1 else rng.uniform(0.25, 0.75)
        y = rng.uniform(max(0.35, 1.15 * tall), max(0.36, 1 - 1.3 * tall))
        at = Pose(x, y, size, angle=rng.normal(0, 6), flip=bool(rng.random() < 0.5))
        cast.append((citizen(rng), at))
    # Who stands lower stands in front, so that shoulders hide no face.
    cast.sort(key=lambda member: member[1].y + member[1].size * min(1, aspect))
    return _with(scene, people=tuple(cast))


def company(key: Key, *, width: int, height: int, people: int) -> Scene:
    """Draw one to three people large enough to be the subject."""
    rng = generator(key[0], "company", key[1])
    scene = _setting(rng, key, width, height)
    return visited(scene, rng, people=people, head_pixels=(22, 60))
