"""Pictures beside pictures: plates of tiles, heat maps and lines between patches, with Pillow.

Everything is painted from arrays by fixed rules: the same input gives the same bytes.
"""

from collections.abc import Sequence
from colorsys import hsv_to_rgb

import numpy as np
from PIL import Image, ImageDraw

from sauropod.visualise.matching import Match

GAP = 8
PAPER, INK = (255, 255, 255), (0, 0, 0)
SMOOTH = 3
"""Pixels painted for each, along both sides, for smooth lines."""
HEAT = np.array(
    [[0, 0, 4], [64, 15, 98], [136, 34, 106], [203, 65, 73], [247, 131, 17], [252, 255, 164]]
)
"""From cold to hot, RGB: even steps of lightness, so that it reads in grey as well."""


def heat(values: np.ndarray) -> np.ndarray:
    """Shares (0..1) of any shape as colours, uint8 (..., 3)."""
    stops = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(values, stops, HEAT[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def enlarged(patches: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """One pixel per patch, uint8 (h, w, 3), as a picture of width x height pixels."""
    return Image.fromarray(patches).resize(size, Image.Resampling.NEAREST)


def plate(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Lay pictures out row by row on paper, at the top left of cells of equal size."""
    width = max(tile.width for row in rows for tile in row)
    height = max(tile.height for row in rows for tile in row)
    columns = max(map(len, rows))
    size = (columns * (width + GAP) + GAP, len(rows) * (height + GAP) + GAP)
    paper = Image.new("RGB", size, PAPER)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            paper.paste(tile, (GAP + j * (width + GAP), GAP + i * (height + GAP)))
    return paper


def joined(
    left: Image.Image, right: Image.Image, matches: Sequence[Match], *, patch: int
) -> Image.Image:
    """Two pictures side by side with a line between the patches of every match.

    Args:
        left: Whose sides are multiples of the patch size.
        right: Likewise.
        matches: By row and column of patches.
        patch: Side of a patch, pixels.
    """
    both = Image.new("RGB", (left.width + GAP + right.width, max(left.height, right.height)), PAPER)
    both.paste(left, (0, 0))
    both.paste(right, (left.width + GAP, 0))
    large = both.resize((both.width * SMOOTH, both.height * SMOOTH), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large)
    for number, match in enumerate(matches):
        # Steps of the golden ratio around the circle of hues: neighbours in the list look apart.
        red, green, blue = hsv_to_rgb(number * 0.618034 % 1.0, 0.85, 1.0)
        ink = (round(255 * red), round(255 * green), round(255 * blue))
        ends = [
            (((column + 0.5) * patch + shift) * SMOOTH, (row + 0.5) * patch * SMOOTH)
            for (row, column), shift in ((match.left, 0), (match.right, left.width + GAP))
        ]
        draw.line(ends, fill=ink, width=2 * SMOOTH)
        for x, y in ends:
            draw.circle((x, y), max(3, patch // 4) * SMOOTH, fill=ink, outline=INK, width=SMOOTH)
    return large.reduce(SMOOTH)
