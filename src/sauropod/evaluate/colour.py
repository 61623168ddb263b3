"""A crude colour feature: the floor that every backbone must beat.

Two halves of equal weight, each L2-normalised: the square root of an 8 x 8 x 8 RGB histogram (dot
product = Bhattacharyya coefficient), and an 8 x 8 thumbnail less its mean.
"""

import numpy as np
import torch
from PIL import Image

from sauropod.evaluate.features import Extractor

SIDE = 32
BINS = 8
THUMBNAIL = 8
WIDTH = BINS**3 + 3 * THUMBNAIL**2


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def colour_feature(image: Image.Image) -> np.ndarray:
    """Describe an RGB image by its colours: float32 (704,), L2-normalised."""
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
    bins = pixels.reshape(-1, 3).astype(np.int64) * BINS // 256
    codes = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
    histogram = np.sqrt(np.bincount(codes, minlength=BINS**3) / len(codes))
    cell = SIDE // THUMBNAIL
    cells = pixels.reshape(THUMBNAIL, cell, THUMBNAIL, cell, 3).mean(axis=(1, 3)).ravel() / 255.0
    thumbnail = _unit(cells - cells.mean())
    return _unit(np.concatenate([_unit(histogram), thumbnail])).astype(np.float32)


def colour_extractor() -> Extractor:
    """The colour floor: one "block", and patch means of width 0."""

    def forward(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return vectors[:, None], vectors[:, :0]

    return Extractor(colour_feature, forward)
