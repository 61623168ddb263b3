"""Detectors the user names as ONNX files: is an image unsafe, and where are its faces.

No weights come with this project. Any classifier with one float image input serves as the unsafe
detector; faces come from a one-shot grid network (layout below) or from YuNet (OpenCV's zoo).

Shapes: B images, S side of the square input, h x w cells of a grid, N boxes.
Boxes leave this module as float32 (N, 5): left, top, width, height, score, the first four as
fractions of the upright image's width and height, so they hold at any decoding size.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from PIL import Image

from sauropod import io
from sauropod.config import Screen
from sauropod.errors import InputError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
YUNET_STRIDES = (8, 16, 32)
PADDING = 128
LEVELS = np.arange(256, dtype=np.float32)[:, None]
"""What a byte can be."""


@dataclass(frozen=True)
class Network:
    """A loaded ONNX file: its session, the side of its square input and the file's identity."""

    session: onnxruntime.InferenceSession
    path: Path
    size: int
    sha256: str

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run on float32 (B, 3, S, S); one by one when the file was exported for one image."""
        entry = self.session.get_inputs()[0]
        names = [output.name for output in self.session.get_outputs()]
        batches = [images] if not isinstance(entry.shape[0], int) else np.split(images, len(images))
        parts = [self.session.run(names, {entry.name: batch}) for batch in batches]
        columns = zip(*parts, strict=True)  # dense tensors: neither detector gives anything else
        return {
            n: np.concatenate(list(map(np.asarray, c))) for n, c in zip(names, columns, strict=True)
        }


def load(path: Path, *, size: int, device: Literal["cpu", "cuda"], num_threads: int) -> Network:
    """Open an ONNX file.

    Args:
        path: ONNX model with one float32 input (B, 3, S, S); B, S fixed or free.
        size: Side to use where the file leaves it free, pixels.
        device: Where to run; `cuda` needs onnxruntime-gpu.
        num_threads: Threads of the CPU provider.

    Raises:
        InputError: missing, not ONNX, another kind of input, or no such device.
    """
    fix = "name an ONNX model with one float32 image input (batch, 3, side, side)"
    if not path.is_file():
        raise InputError(path, expected="an ONNX model", found="no such file", fix=fix)
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise InputError(
            path,
            expected=f"onnxruntime with {provider} to run it",
            found=", ".join(onnxruntime.get_available_providers()),
            fix="install onnxruntime-gpu, or pass --device cpu",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # onnxruntime's exceptions share no public class
        found = str(error).splitlines()[0][:200]
        raise InputError(path, expected="an ONNX model", found=found, fix=fix) from error
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] != 3:
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise InputError(path, expected="one float32 image input", found=found, fix=fix)
    side = shape[2] if isinstance(shape[2], int) else size
    if isinstance(shape[3], int) and shape[3] != side:
        raise InputError(path, expected="a square input", found=str(shape), fix=fix)
    return Network(session, path, side, io.sha256_file(path))


def squash(image: Image.Image, *, size: int) -> np.ndarray:
    """Resize to a square, aspect ratio given up so that nothing at the edges is missed.

    Returns uint8 RGB (S, S, 3).
    """
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0))


def letterbox(image: Image.Image, *, size: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale the long side to `size` and pad right and bottom with grey.

    Returns uint8 RGB (S, S, 3) and the width and height in pixels that the image fills.
    """
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = np.full((size, size, 3), PADDING, np.uint8)
    resized = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    canvas[:height, :width] = np.asarray(resized)
    return canvas, (width, height)


def unsafe_scores(network: Network, images: np.ndarray, *, knobs: Screen) -> np.ndarray:
    """Score how unsafe images are.

    Args:
        network: Classifier whose first output is (B, classes), or (B,) / (B, 1) for one score.
        images: uint8 RGB (B, S, S, 3) from `squash`.
        knobs: Normalisation, activation and the unsafe classes.

    Returns:
        float32 (B,): the summed probability of the unsafe classes, 0 to 1.

    Raises:
        InputError: the model has fewer classes than the knobs name, or gives values that are no
            probabilities.
    """
    mean, std = (np.asarray(x, np.float32) for x in (knobs.nsfw_mean, knobs.nsfw_std))
    x = _planes(images, (LEVELS / 255 - mean) / std)
    output = next(iter(network(x).values()))
    output = output.reshape(len(images), -1).astype(np.float32)
    if output.shape[1] <= max(knobs.nsfw_classes):
        raise InputError(
            network.path,
            expected=f"classes {list(knobs.nsfw_classes)} in its output",
            found=f"{output.shape[1]} classes",
            fix="set nsfw_classes to the unsafe classes of this model",
        )
    scores = _activate(output, knobs.nsfw_activation)[:, list(knobs.nsfw_classes)].sum(axis=1)
    if not (np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1.001):
        raise InputError(
            network.path,
            expected="probabilities from 0 to 1",
            found=f"{scores.min():.3g} to {scores.max():.3g}",
            fix="set nsfw_activation to what this model leaves undone (softmax or sigmoid)",
        )
    return scores.clip(max=1)


def _planes(images: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Look pixels up in a table, (B, S, S, 3) uint8 and (256, 1 or 3) -> (B, 3, S, S) float32.

    Three times as fast as to compute on them, and equal.
    """
    tables = np.ascontiguousarray(np.broadcast_to(values, (256, 3)).T)
    return np.stack([tables[c][images[..., c]] for c in range(3)], axis=1)


def _activate(x: np.ndarray, kind: Literal["softmax", "sigmoid", "none"]) -> np.ndarray:
    if kind == "softmax":
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return 1 / (1 + np.exp(-x)) if kind == "sigmoid" else x


def find_faces(
    network: Network,
    images: np.ndarray,
    filled: list[tuple[float, float]],
    *,
    knobs: Screen,
) -> list[np.ndarray]:
    """Find the faces of letterboxed images.

    Args:
        network: Detector in the layout `knobs.faces_format`.
        images: uint8 RGB (B, S, S, 3) from `letterbox`.
        filled: Per image, the width and height in pixels that it fills.
        knobs: Layout, score threshold and overlap threshold.

    Returns:
        Per image float32 (N, 5), see the module; best score first.

    Raises:
        InputError: the model's outputs are not those of the layout.
    """
    if knobs.faces_format == "grid":
        x = _planes(images, LEVELS / 255)
        boxes = _decode_grid(network, network(x), size=images.shape[1])
    else:
        # YuNet takes BGR from 0 to 255.
        x = _planes(images[..., ::-1], LEVELS)
        boxes = _decode_yunet(network, network(x), size=images.shape[1])
    found = []
    for candidates, (width, height) in zip(boxes, filled, strict=True):
        best = suppress(
            candidates[candidates[:, 4] >= knobs.faces_threshold], overlap=knobs.faces_overlap
        )
        found.append(_fractions(best, width, height))
    return found


def _decode_grid(
    network: Network, outputs: dict[str, np.ndarray], *, size: int
) -> list[np.ndarray]:
    """Grid layout: one output (B, 5, h, w), cells S/h pixels apart.

    Channel 0 is the logit that a face's centre lies in the cell; 1, 2 the centre's offset from the
    middle of the cell in cells; 3, 4 the logarithm of width and height in cells.
    """
    grid = next(iter(outputs.values()))
    if grid.ndim != 4 or grid.shape[1] != 5:
        raise InputError(
            network.path,
            expected="a face grid (batch, 5, h, w)",
            found=f"output of shape {list(grid.shape)}",
            fix="set faces_format to the layout of this model",
        )
    stride = size / grid.shape[2]
    rows, columns = np.mgrid[: grid.shape[2], : grid.shape[3]].astype(np.float32)
    width, height = np.exp(grid[:, 3].clip(-8, 8)), np.exp(grid[:, 4].clip(-8, 8))
    left = columns + 0.5 + grid[:, 1] - width / 2
    top = rows + 0.5 + grid[:, 2] - height / 2
    boxes = np.stack([left, top, width, height], axis=-1) * np.float32(stride)
    scores = _activate(grid[:, 0], "sigmoid")[..., None]
    return list(np.concatenate([boxes, scores], axis=-1).reshape(len(grid), -1, 5))


def _decode_yunet(
    network: Network, outputs: dict[str, np.ndarray], *, size: int
) -> list[np.ndarray]:
    """YuNet layout: for strides 8, 16, 32 outputs cls, obj (B, h*w, 1) and bbox (B, h*w, 4).

    Score = sqrt(cls * obj); the centre is bbox[:2] in cells from the cell's corner, the sides are
    exp(bbox[2:]) cells (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023).
    """
    parts = []
    for stride in YUNET_STRIDES:
        names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox")]
        if missing := [name for name in names if name not in outputs]:
            raise InputError(
                network.path,
                expected=f"YuNet's outputs {', '.join(names)}",
                found=f"no {', '.join(missing)}",
                fix="set faces_format to the layout of this model",
            )
        cls, obj, box = (
            outputs[name].reshape(len(outputs[name]), -1, n)
            for name, n in zip(names, (1, 1, 4), strict=True)
        )
        side = size // stride
        rows, columns = np.divmod(np.arange(side * side, dtype=np.float32), np.float32(side))
        width, height = np.exp(box[..., 2]), np.exp(box[..., 3])
        left = columns + box[..., 0] - width / 2
        top = rows + box[..., 1] - height / 2
        boxes = np.stack([left, top, width, height], axis=-1) * np.float32(stride)
        scores = np.sqrt(cls.clip(0, 1) * obj.clip(0, 1))
        parts.append(np.concatenate([boxes, scores], axis=-1))
    return list(np.concatenate(parts, axis=1))


def suppress(boxes: np.ndarray, *, overlap: float) -> np.ndarray:
    """Greedy non-maximum suppression of float32 (N, 5) boxes, best score first.

    A box goes when its intersection over union with a better one that stays exceeds `overlap`.
    """
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    first, last = boxes[:, :2], boxes[:, :2] + boxes[:, 2:4]
    areas = boxes[:, 2] * boxes[:, 3]
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        sides = np.minimum(last[i], last[i + 1 :]) - np.maximum(first[i], first[i + 1 :])
        both = sides.clip(min=0).prod(axis=1)
        alive[i + 1 :] &= both <= overlap * (areas[i] + areas[i + 1 :] - both)
    return boxes[alive]


def _fractions(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Pixels of the letterbox -> fractions of the image, cut at its edges; empty boxes go."""
    sides = np.asarray([width, height], np.float32)
    first = (boxes[:, :2] / sides).clip(0, 1)
    last = ((boxes[:, :2] + boxes[:, 2:4]) / sides).clip(0, 1)
    cut = np.concatenate([first, last - first, boxes[:, 4:]], axis=1)
    return cut[(cut[:, 2] > 0) & (cut[:, 3] > 0)].astype(np.float32)
