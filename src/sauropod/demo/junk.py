"""What a crawl is full of: text banners, gradients, logos, buttons and charts, without objects."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sauropod.demo.canvas import Colour
from sauropod.demo.keys import pick
from sauropod.demo.scenes import CREAM, INK, PAINTS
from sauropod.demo.shapes import rays

WORDS = ("SALE", "50% off", "Subscribe!", "Click here", "New in", "404", "Free shipping", "Menu")


def _bytes(colour: Colour) -> tuple[int, int, int]:
    r, g, b = (round(255 * channel) for channel in colour)
    return r, g, b


def _sheet(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, _bytes(pick(rng, (*PAINTS, CREAM, INK))))
    return image, ImageDraw.Draw(image)


def banner(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw an advertising banner: lines of text on a colour."""
    image, pen = _sheet(rng, size)
    for k in range(int(rng.integers(1, 4))):
        font = ImageFont.load_default(int(rng.integers(10, 22)))
        at = (rng.uniform(0, 0.2) * size[0], (0.1 + 0.3 * k) * size[1])
        pen.text(at, pick(rng, WORDS), font=font, fill=_bytes(pick(rng, (INK, CREAM, *PAINTS))))
    return image


def gradient(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a two-colour gradient."""
    a, b = (np.array(PAINTS[k]) for k in rng.permutation(len(PAINTS))[:2])
    turn = rng.uniform(0, 6.28)
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    t = (0.5 + 0.4 * (np.cos(turn) * x + np.sin(turn) * y)).clip(0, 1)[..., None]
    return Image.fromarray((255 * (a * (1 - t) + b * t)).astype(np.uint8))


def logo(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a star or a disc in a ring with a letter."""
    image, pen = _sheet(rng, size)
    centre, r = np.array(size) / 2, 0.4 * min(size)
    star = rays(int(rng.integers(5, 12)), inner=rng.uniform(0.5, 0.9) * r, outer=r) + centre
    pen.polygon(star.ravel().tolist(), fill=_bytes(pick(rng, PAINTS)))
    low, high = centre - 0.55 * r, centre + 0.55 * r
    pen.ellipse((*low, *high), fill=_bytes(pick(rng, (CREAM, INK))))
    letter = pick(rng, tuple("ABDEGKMRSX"))
    font = ImageFont.load_default(round(0.8 * r))
    pen.text(tuple(centre), letter, font=font, anchor="mm", fill=_bytes(pick(rng, PAINTS)))
    return image


def chart(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a bar chart."""
    image = Image.new("RGB", size, (250, 250, 248))
    pen = ImageDraw.Draw(image)
    bars, colour = int(rng.integers(4, 9)), _bytes(pick(rng, PAINTS))
    step = size[0] / (bars + 1)
    for k, tall in enumerate(rng.uniform(0.1, 0.85, bars)):
        left = step * (k + 0.6)
        pen.rectangle(
            (left, size[1] * (0.92 - tall), left + 0.7 * step, size[1] * 0.92), fill=colour
        )
    pen.line((0.04 * size[0], 0.93 * size[1], 0.97 * size[0], 0.93 * size[1]), fill=_bytes(INK))
    return image


def tiles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a wallpaper of coloured squares."""
    cells = rng.integers(0, len(PAINTS), (int(rng.integers(4, 9)), int(rng.integers(4, 9))))
    image = Image.fromarray((255 * np.array(PAINTS)[cells]).astype(np.uint8))
    return image.resize(size, Image.Resampling.NEAREST)


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Image.Image]] = {
    "banner": banner,
    "gradient": gradient,
    "logo": logo,
    "chart": chart,
    "tiles": tiles,
}


def junk(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw one of the kinds."""
    return KINDS[pick(rng, tuple(KINDS))](rng, size)
