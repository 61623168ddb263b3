"""Pictures of dense predictions: label maps and depth maps laid over their images.

Shapes: H, W height and width of an image in pixels.
"""

import colorsys

import cv2
import numpy as np

from sauropod.evaluate.dense.miou import IGNORED

GOLDEN = 0.618033988749895
"""Steps of the golden section around the colour circle are never close to each other."""


def palette(num_classes: int) -> np.ndarray:
    """Colours that tell classes apart: (C, 3) uint8, RGB."""
    colours = [
        colorsys.hsv_to_rgb((k * GOLDEN) % 1.0, (0.9, 0.6)[k % 2], (0.95, 0.7)[k // 2 % 2])
        for k in range(num_classes)
    ]
    return np.round(255 * np.asarray(colours)).astype(np.uint8).reshape(-1, 3)


def label_colours(labels: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Paint class numbers (H, W): (H, W, 3) uint8, black where the label is ignored."""
    colours = np.concatenate([palette(num_classes), np.zeros((1, 3), np.uint8)])
    return colours[np.where(labels == IGNORED, num_classes, labels)]


def depth_colours(metres: np.ndarray, *, near: float, far: float) -> np.ndarray:
    """Paint metres (H, W), near bright, far dark: (H, W, 3) uint8, black where unmeasured.

    The scale is linear in 1 / depth, as eyes and cameras see it.
    """
    measured = metres > 0
    inverse = 1 / np.where(measured, metres, far)
    share = (inverse - 1 / far) / (1 / near - 1 / far)
    levels = np.round(255 * share.clip(0, 1)).astype(np.uint8)
    painted = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
    return np.where(measured[..., None], painted, np.uint8(0))


def overlay(image: np.ndarray, colours: np.ndarray, *, opacity: float = 0.6) -> np.ndarray:
    """Lay colours over an image; black lets the image through.

    Args:
        image: (H, W, 3) uint8.
        colours: The same, from `label_colours` or `depth_colours`.
        opacity: Share of the colours, 0 to 1.

    Returns:
        (H, W, 3) uint8.
    """
    mixed = (1 - opacity) * image + opacity * colours
    painted = colours.any(axis=2, keepdims=True)
    return np.where(painted, np.round(mixed), image).astype(np.uint8)
