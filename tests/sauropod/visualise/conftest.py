"""Pictures with planted features: what the answers are is known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.visualise.seen import Seen

PATCH, WIDTH = 8, 16


def random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


@pytest.fixture
def seen() -> Callable[..., Seen]:
    """`seen(tokens (h, w, D))` makes a picture whose patches have these tokens."""

    def make(tokens: np.ndarray, *, seed: int = 0) -> Seen:
        grid = tokens.shape[:2]
        pixels = random(seed).integers(0, 256, (grid[0] * PATCH, grid[1] * PATCH, 3), np.uint8)
        attention = torch.rand(2, grid[0] * grid[1], generator=torch.Generator().manual_seed(seed))
        flat = torch.from_numpy(tokens).float().flatten(0, 1)
        return Seen(Image.fromarray(pixels), grid, flat, attention / attention.sum(1, keepdim=True))

    return make


@pytest.fixture
def planted() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Tokens (h, w, D) of a thing on a background, and where the thing is, bool (h, w)."""
    directions = np.linalg.qr(random(99).normal(size=(WIDTH, WIDTH)))[0]

    def make(
        grid: tuple[int, int], box: tuple[int, int, int, int], *, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        top, left, bottom, right = box
        mask = np.zeros(grid, dtype=bool)
        mask[top:bottom, left:right] = True
        tokens = 0.01 * random(seed).normal(size=(*grid, WIDTH)) + 3 * directions[1]
        rows, columns = np.mgrid[0 : bottom - top, 0 : right - left]
        thing = (
            10 * directions[0]
            + rows[..., None] * directions[2]
            + columns[..., None] * directions[3]
        )
        tokens[mask] = thing.reshape(-1, WIDTH) + 0.01 * random(seed + 1).normal(
            size=(int(mask.sum()), WIDTH)
        )
        return tokens, mask

    return make
