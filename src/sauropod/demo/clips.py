"""Short clips: one subject in one place, and a motion that names the action."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sauropod.demo.casting import Key, view
from sauropod.demo.keys import generator
from sauropod.demo.scenes import Pose, Scene, Shot, render, subject

Motion = Callable[[Pose, float, float], Pose]  # pose, time in [0, 1], phase in [0, 1] -> pose


def slide(at: Pose, t: float, phase: float) -> Pose:
    """Cross the picture from side to side."""
    return replace(at, x=(0.12 + 0.76 * (t if phase < 0.5 else 1 - t)))


def drop(at: Pose, t: float, phase: float) -> Pose:
    """Fall from the top to the bottom."""
    return replace(at, y=-0.1 + 0.95 * t * t + 0.1 * phase)


def bounce(at: Pose, t: float, phase: float) -> Pose:
    """Jump up and down, squashed on the ground."""
    height = abs(np.sin(np.pi * (2 * t + phase)))
    return replace(at, y=0.72 - 0.42 * height, squash=1.45 - 0.5 * height)


def spin(at: Pose, t: float, phase: float) -> Pose:
    """Turn once around."""
    return replace(at, x=0.5, y=0.5, angle=360 * (t + phase))


def approach(at: Pose, t: float, phase: float) -> Pose:
    """Grow as if coming nearer."""
    return replace(at, x=0.5, y=0.55, size=at.size * (0.3 + (1.3 + 0.2 * phase) * t))


def sway(at: Pose, t: float, phase: float) -> Pose:
    """Lean from side to side, sheared."""
    lean = np.sin(2 * np.pi * (2 * t + phase))
    return replace(at, x=0.5 + 0.05 * lean, y=0.58, angle=16 * lean, shear=0.45 * lean)


MOTIONS: dict[str, Motion] = {
    "Approach": approach,
    "Bounce": bounce,
    "Drop": drop,
    "Slide": slide,
    "Spin": spin,
    "Sway": sway,
}


def clip(action: str, label: str, key: Key, *, size: int, frames: int) -> list[Shot]:
    """Render a clip of an action: the same subject and place in every frame."""
    rng = generator(key[0], "clip", key[1])
    first: Scene = view(subject(label, rng), key, width=size, height=size)
    who, at = first.subjects[0]
    at, phase = replace(at, size=0.24), float(rng.random())
    return [
        render(replace(first, subjects=((who, MOTIONS[action](at, t, phase)),)))
        for t in np.linspace(0, 1, frames)
    ]
