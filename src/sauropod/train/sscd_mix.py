"""Mixup and CutMix between the copies of a step (Pizzi et al. 2022, section 4.2, "mixed images").

Zhang et al. 2018, "mixup"; Yun et al. 2019, "CutMix". A mixed copy holds two images, and matches
the copies of both. As in the released training code each copy is mixed or not by itself, always
with the unmixed copy at the mirrored place of the step.

Shapes: R copies of a step, S their side.
"""

import math

import numpy as np

from sauropod.train.config import TrainSscd


def mixed(
    pixels: np.ndarray, sources: np.ndarray, rng: np.random.Generator, *, knobs: TrainSscd
) -> tuple[np.ndarray, np.ndarray]:
    """Mix some of the copies of a step.

    Args:
        pixels: uint8 RGB (R, S, S, 3); not changed.
        sources: (R,) integer, the image of each copy.
        rng: Keyed generator of the step.
        knobs: `mix_share`, `cutmix_share` and `mix_alpha`.

    Returns:
        Copies like `pixels`, and the two images (R, 2) that each holds: its own, and the other or
        its own again.
    """
    count = len(pixels)
    share = np.where(
        rng.random(count) < knobs.mix_share,
        rng.beta(knobs.mix_alpha, knobs.mix_alpha, count),
        1.0,
    )
    cut = rng.random(count) < knobs.cutmix_share
    centres = rng.integers(pixels.shape[1], size=(count, 2))
    out, held = pixels.copy(), np.stack([sources, sources], axis=1)
    for i in np.flatnonzero(share < 1):
        other = count - 1 - i
        if cut[i]:
            rows, columns = box(centres[i], side=pixels.shape[1], kept=share[i])
            out[i, rows, columns] = pixels[other, rows, columns]
            if rows.start == rows.stop or columns.start == columns.stop:
                continue
        else:
            out[i] = np.rint(share[i] * pixels[i] + (1 - share[i]) * pixels[other])
        held[i, 1] = sources[other]
    return out, held


def box(centre: np.ndarray, *, side: int, kept: float) -> tuple[slice, slice]:
    """Rows and columns of a square of (1 - kept) of the area, less what leaves the image."""
    length = int(side * math.sqrt(1 - kept))
    low = np.clip(centre - length // 2, 0, side).tolist()
    high = np.clip(centre + length // 2, 0, side).tolist()
    return slice(low[0], high[0]), slice(low[1], high[1])
