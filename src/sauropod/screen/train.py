"""Train the demo's two tiny detectors, so that screening runs through real ONNX files.

They know the demo's procedural world and nothing else: name real models for real photos.

Shapes: B images, S side of the square input, h x w cells of the face grid, N boxes of an image.
"""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sauropod import images
from sauropod.demo.config import TrainDetectors
from sauropod.errors import InputError
from sauropod.progress import track
from sauropod.screen import detectors

# Channels in and out, kernel, stride.
NSFW_LAYERS = ((3, 16, 3, 2), (16, 32, 3, 2), (32, 32, 3, 1), (32, 32, 3, 2))
FACES_LAYERS = ((3, 24, 6, 4), (24, 48, 3, 2), (48, 48, 3, 1), (48, 48, 3, 1))
FACES_STRIDE = 8
SIDES = ("left", "top", "width", "height")


def convnet(
    shape: tuple[tuple[int, int, int, int], ...], *, outputs: int, seed: int
) -> nn.Sequential:
    """Chain of convolution, batch norm, ReLU as `shape` says; then 1x1 to `outputs` maps."""
    layers: list[nn.Module] = []
    for inputs, width, kernel, stride in shape:
        layers += [
            nn.Conv2d(inputs, width, kernel, stride, padding=(kernel - 1) // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    net = nn.Sequential(*layers, nn.Conv2d(shape[-1][1], outputs, 1))
    generator = torch.Generator().manual_seed(seed)
    for module in net:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.constant_(module.bias, -2.0)  # most cells are background
    return net


def read_labelled(folder: Path, *, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read `folder/safe/*` and `folder/unsafe/*`: uint8 RGB (B, S, S, 3) squashed, bool (B,).

    Raises:
        InputError: a folder without images, or an image that does not decode.
    """
    pixels, unsafe = [], []
    for name in ("safe", "unsafe"):
        for path in _listed(folder / name):
            pixels.append(detectors.squash(_decoded(path), size=size))
            unsafe.append(name == "unsafe")
    return np.stack(pixels), np.array(unsafe)


def read_faces(folder: Path, *, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read `folder/images/*` and `folder/boxes.parquet` (file, left, top, width, height in pixels).

    Images without a row have no face.

    Returns:
        uint8 RGB (B, S, S, 3) letterboxed, and per image float (N, 4) in pixels of the letterbox.

    Raises:
        InputError: no images or no table of boxes.
    """
    table = folder / "boxes.parquet"
    if not table.is_file():
        fix = "run demo.py, which draws the detectors' training images"
        raise InputError(table, expected="a table of face boxes", found="no such file", fix=fix)
    given = pl.read_parquet(table, columns=["file", *SIDES])
    pixels, boxes = [], []
    for path in _listed(folder / "images"):
        image = _decoded(path)
        boxed, filled = detectors.letterbox(image, size=size)
        rows = given.filter(pl.col("file") == path.name).select(SIDES).to_numpy()
        scale = np.asarray(filled) / np.asarray(image.size)
        pixels.append(boxed)
        boxes.append(rows * np.tile(scale, 2))
    return np.stack(pixels), boxes


def _listed(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("*") if path.is_file())
    if not found:
        fix = "run demo.py, which draws the detectors' training images"
        raise InputError(folder, expected="a folder of images", found="none", fix=fix)
    return found


def _decoded(path: Path) -> Image.Image:
    try:
        return images.decode(path.read_bytes())
    except images.ImageError as error:
        fix = "remove it or draw the demo world again"
        raise InputError(path, expected="an image", found=error.status, fix=fix) from error


def train_nsfw(pixels: np.ndarray, unsafe: np.ndarray, *, knobs: TrainDetectors) -> nn.Sequential:
    """Train the unsafe classifier.

    Args:
        pixels: uint8 RGB (B, S, S, 3).
        unsafe: bool (B,).
        knobs: Steps, batch size, learning rate, seed.

    Returns:
        Network in evaluation mode: (B, 3, S, S) in -1..1 -> (B, 2) logits of safe and unsafe, the
        maximum over places: one unsafe thing anywhere is enough.
    """
    trunk = convnet(NSFW_LAYERS, outputs=2, seed=knobs.seed)
    net = nn.Sequential(*trunk, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    groups = [np.flatnonzero(unsafe), np.flatnonzero(~unsafe)]

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = np.concatenate([rng.choice(g, knobs.batch_size // 2) for g in groups])
        moved = [_vary(pixels[i], rng, zoom=(0.8, 1.3))[0] for i in chosen]
        x = torch.from_numpy(np.stack(moved)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return x, torch.from_numpy(unsafe[chosen]).long()

    return _fit(net, batch, F.cross_entropy, steps=knobs.nsfw_steps, knobs=knobs, label="nsfw")


def train_faces(
    pixels: np.ndarray, boxes: list[np.ndarray], *, knobs: TrainDetectors
) -> nn.Sequential:
    """Train the face detector.

    Args:
        pixels: uint8 RGB (B, S, S, 3), letterboxed.
        boxes: Per image float (N, 4): left, top, width, height in pixels of the input; N may be 0.
        knobs: Steps, batch size, learning rate, seed.

    Returns:
        Network in evaluation mode: (B, 3, S, S) in 0..1 -> grid (B, 5, S/8, S/8), the layout `grid`
        of `screen.detectors`.
    """
    net = convnet(FACES_LAYERS, outputs=5, seed=knobs.seed)
    cells = pixels.shape[1] // FACES_STRIDE

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.integers(len(pixels), size=knobs.batch_size)
        moved = [_vary(pixels[i], rng, zoom=(0.75, 1.3), boxes=boxes[i]) for i in chosen]
        x = torch.from_numpy(np.stack([view for view, _ in moved]))
        targets = np.stack([grid_targets(b, cells=cells, stride=FACES_STRIDE) for _, b in moved])
        return x.permute(0, 3, 1, 2).float() / 255, torch.from_numpy(targets)

    return _fit(net, batch, grid_loss, steps=knobs.faces_steps, knobs=knobs, label="faces")


def grid_targets(boxes: np.ndarray, *, cells: int, stride: int) -> np.ndarray:
    """Targets of the face grid for one image: float32 (7, cells, cells).

    Channel 0: 1 in the cell of a face's centre, else 0. Channels 1-4: the box as the grid layout
    spells it, for that cell and the eight around it. Channel 5: weight of the score, 0 in those
    eight (either answer is fine there). Channel 6: weight of the box, 1 in all nine.
    """
    out = np.zeros((7, cells, cells), np.float32)
    out[5] = 1
    # Smallest last: where two faces meet, the small one is harder to find and gets the cell.
    for left, top, width, height in boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]:
        x, y = (left + width / 2) / stride, (top + height / 2) / stride
        column, row = math.floor(x), math.floor(y)
        if not (0 <= row < cells and 0 <= column < cells):
            continue
        rows, columns = np.mgrid[
            max(0, row - 1) : min(cells, row + 2), max(0, column - 1) : min(cells, column + 2)
        ]
        centre = (rows == row) & (columns == column)
        free = (out[0, rows, columns] == 0) | centre  # centres of other faces keep theirs
        sides = np.log([width / stride, height / stride])
        box = [x - columns - 0.5, y - rows - 0.5, *(np.full(rows.shape, side) for side in sides)]
        out[1:5, rows[free], columns[free]] = np.stack(box)[:, free]
        out[5, rows[free], columns[free]] = 0
        out[6, rows[free], columns[free]] = 1
        out[0, row, column] = out[5, row, column] = 1
    return out


def grid_loss(grid: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the score plus smooth L1 of the boxes, both per face.

    Args:
        grid: (B, 5, h, w) network output.
        targets: (B, 7, h, w) of `grid_targets`.
    """
    face, counts, has_box = targets[:, 0], targets[:, 5], targets[:, 6]
    # Easy background cells are many: the squared miss (focal loss) keeps them from ruling.
    score = F.binary_cross_entropy_with_logits(grid[:, 0], face, reduction="none")
    miss = (torch.sigmoid(grid[:, 0]) - face).abs() ** 2
    box = F.smooth_l1_loss(grid[:, 1:], targets[:, 1:5], reduction="none", beta=0.2).sum(dim=1)
    score_loss = (score * miss * counts).sum() / face.sum().clamp(min=1)
    return score_loss + (box * has_box).sum() / has_box.sum().clamp(min=1)


def _fit(
    net: nn.Sequential,
    batch: Callable[[np.random.Generator], tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    knobs: TrainDetectors,
    label: str,
) -> nn.Sequential:
    """AdamW with a linear warm-up and cosine decay; randomness keyed by seed and step."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=knobs.lr, weight_decay=1e-2)
    net.train()
    for step in track(range(steps), total=steps, label=label, unit="steps"):
        share = step / steps
        lr = knobs.lr * min(1.0, 10 * (share + 1 / steps)) * (1 + math.cos(math.pi * share)) / 2
        for group in optimizer.param_groups:
            group["lr"] = lr
        x, target = batch(np.random.Generator(np.random.Philox(key=[knobs.seed, step])))
        optimizer.zero_grad()
        value = loss(net(x), target)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
    return net.eval()


def _vary(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    zoom: tuple[float, float],
    boxes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Randomly zoom, shift, mirror and recolour an image (S, S, 3), its boxes (N, 4) with it."""
    size = image.shape[0]
    scale = math.exp(rng.uniform(math.log(zoom[0]), math.log(zoom[1])))
    slack = size * (1 - scale)
    dx, dy = rng.uniform(0, 1, 2) * slack
    mirror = rng.random() < 0.5
    a, b = (-scale, dx + scale * size) if mirror else (scale, dx)
    matrix = np.asarray([[a, 0, b], [0, scale, dy]], np.float64)
    moved = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=(detectors.PADDING,) * 3
    )
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.85, 1.15, (3, 1))
    shift = 128 * (1 - gain) + rng.uniform(-25, 25)
    recoloured = cv2.transform(moved, np.hstack([np.diag(gain[:, 0]), shift]))
    found = (
        np.empty((0, 4)) if boxes is None else np.asarray(boxes, np.float64).reshape(-1, 4).copy()
    )
    found[:, 0] = a * found[:, 0] + b - (found[:, 2] * scale if mirror else 0)
    found[:, 1] = found[:, 1] * scale + dy
    found[:, 2:] *= scale
    return recoloured, found
