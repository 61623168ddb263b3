"""Copies as the web and adversaries make them: the augmentations SSCD is trained to see through.

Pizzi et al. 2022, section 4.2 ("advanced"), in the order of their released code: mirror, quarter
turn, text, sticker, any turn, crop, colour, grey, blur, JPEG. Stickers and letters are drawn here
(discs with a face, OpenCV's strokes) where the authors paste emoji and fonts.

Shapes: H x W image, S side of the view.
"""

import bisect
import string

import cv2
import numpy as np

from sauropod.train.augment import jitter_fast
from sauropod.train.config import Crops, TrainSscd
from sauropod.train.views import Jitter, draw

LETTERS = string.ascii_letters + string.digits + string.punctuation + " "
FONT = cv2.FONT_HERSHEY_SIMPLEX
LETTER_HEIGHT = 22
"""Of the font at scale one, pixels."""
JITTER_SHARE = 0.8
BLUR_REFERENCE = 224
"""Side in pixels for which `blur_sigma` is meant; smaller views are blurred less."""


def copied(image: np.ndarray, rng: np.random.Generator, *, knobs: TrainSscd) -> np.ndarray:
    """Make one random copy of an image.

    Args:
        image: uint8 RGB (H, W, 3); not changed.
        rng: Keyed generator of this copy.
        knobs: Probabilities, strengths and the side S.

    Returns:
        uint8 RGB (S, S, 3).
    """
    if rng.random() < knobs.mirror_share:
        image = cv2.flip(image, 1)
    if rng.random() < knobs.rotate_share:
        image = np.ascontiguousarray(np.rot90(image, int(rng.integers(1, 4))))
    if rng.random() < knobs.text_share:
        image = with_text(image, rng)
    if rng.random() < knobs.sticker_share:
        image = with_sticker(image, rng)
    if rng.random() < knobs.rotate_share:
        image = turned(image, degrees=rng.uniform(-180, 180))
    image = cropped(image, rng, scale=knobs.crop_scale, size=knobs.resolution)
    image = recoloured(image, rng, jitter=knobs.jitter, gray_share=knobs.gray_share)
    if rng.random() < 0.5:
        sigma = rng.uniform(*knobs.blur_sigma) * knobs.resolution / BLUR_REFERENCE
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    if rng.random() < knobs.jpeg_share:
        image = through_jpeg(image, quality=int(rng.integers(0, 101)))
    return image


def cropped(
    image: np.ndarray, rng: np.random.Generator, *, scale: tuple[float, float], size: int
) -> np.ndarray:
    """Cut a random box (area and aspect as DINOv2's crops) and resize it to (S, S).

    `scale` bounds the box's share of the area; an image that is narrower than any such box gives
    its middle.
    """
    height, width = image.shape[:2]
    view, _ = draw(rng, width=width, height=height, crops=Crops(global_scale=scale, num_local=0))
    left, top, right, bottom = view.box
    method = cv2.INTER_AREA if min(right - left, bottom - top) >= size else cv2.INTER_LINEAR
    return cv2.resize(image[top:bottom, left:right], (size, size), interpolation=method)


def recoloured(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    jitter: tuple[float, float, float, float],
    gray_share: float,
) -> np.ndarray:
    """Jitter the colours of four in five images in random order; turn some grey."""
    drawn = None
    if rng.random() < JITTER_SHARE:
        *reach, turn = jitter
        bright, contrast, saturation = (rng.uniform(max(0, 1 - r), 1 + r) for r in reach)
        order = tuple(rng.permutation(4).tolist())
        drawn = Jitter(order, bright, contrast, saturation, rng.uniform(-turn, turn))
    return jitter_fast(image, drawn, gray=bool(rng.random() < gray_share))


def with_text(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Write random letters, 0.1 to 0.3 of the short side tall, opacity 0.1 to 1, any colour.

    As many as fit into the width, or fewer, anywhere inside.
    """
    height, width = image.shape[:2]
    tall = rng.uniform(0.1, 0.3) * min(height, width)
    scale, thick = tall / LETTER_HEIGHT, max(1, round(tall / 10))
    letters = "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=100))

    def extent(count: int) -> int:
        return cv2.getTextSize(letters[:count], FONT, scale, thick)[0][0]

    fitting = bisect.bisect_right(range(1, 101), width, key=extent)
    if not fitting:
        return image
    count = int(rng.integers(1, fitting + 1))
    x = round(rng.random() * (width - extent(count)))
    y = round(tall + rng.random() * (height - tall))
    colour = tuple(rng.integers(256, size=3).tolist())
    layer = image.copy()
    cv2.putText(layer, letters[:count], (x, y), FONT, scale, colour, thick, cv2.LINE_AA)
    return _blend(image, layer, opacity=rng.uniform(0.1, 1))


def with_sticker(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a disc with a face inside, 0.1 to 0.5 of the short side wide, opacity 0.7 to 1."""
    height, width = image.shape[:2]
    radius = max(1, round(rng.uniform(0.05, 0.25) * min(height, width)))
    x = round(radius + rng.random() * (width - 2 * radius))
    y = round(radius + rng.random() * (height - 2 * radius))
    colour, ink = (tuple(rng.integers(256, size=3).tolist()) for _ in range(2))
    layer = image.copy()
    cv2.circle(layer, (x, y), radius, colour, -1, cv2.LINE_AA)
    for side in (-1, 1):
        eye = x + side * radius // 3, y - radius // 4
        cv2.circle(layer, eye, max(1, radius // 7), ink, -1, cv2.LINE_AA)
    smile = (radius // 2, radius // 3)
    cv2.ellipse(
        layer, (x, y + radius // 5), smile, 0, 0, 180, ink, max(1, radius // 8), cv2.LINE_AA
    )
    return _blend(image, layer, opacity=rng.uniform(0.7, 1))


def turned(image: np.ndarray, *, degrees: float) -> np.ndarray:
    """Rotate about the centre; the canvas grows and is black in the corners."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    w, h = round(width * cos + height * sin), round(width * sin + height * cos)
    matrix[:, 2] += (w - width) / 2, (h - height) / 2
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR)


def through_jpeg(image: np.ndarray, *, quality: int) -> np.ndarray:
    """Encode as JPEG and decode again."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what was just encoded decodes"
    return np.ascontiguousarray(decoded[..., ::-1])


def _blend(image: np.ndarray, layer: np.ndarray, *, opacity: float) -> np.ndarray:
    return cv2.addWeighted(layer, opacity, image, 1 - opacity, 0)
