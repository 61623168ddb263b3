"""Instance recognition by the cosine of frozen CLS tokens: from a layout to its numbers.

Shapes: n images, D width.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.amstertime import amstertime_rows
from sauropod.evaluate.config import Instance
from sauropod.evaluate.copy_detection import copy_rows, read_copydays, read_disc21
from sauropod.evaluate.datasets.dataset import Readable, Split
from sauropod.evaluate.features import Extractor, extract
from sauropod.evaluate.groups import groups_rows
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.met import met_rows
from sauropod.evaluate.photos import Embed, Embedded
from sauropod.evaluate.ranking import unit
from sauropod.evaluate.revisited import revisited_rows


def whole_view(extractor: Extractor, *, side: int) -> Extractor:
    """The extractor, shown whole images squeezed to a square of `side` pixels: nothing is cut."""

    def prepare(image: Image.Image) -> np.ndarray:
        small = image.resize((side, side), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))

    return extractor._replace(prepare=prepare)


def embedder(extractor: Extractor, *, batch_size: int, num_threads: int, device: str) -> Embed:
    """What maps a list of images to their features: the last block's CLS token, of length 1.

    Args:
        extractor: Model to measure.
        batch_size: Images per forward pass.
        num_threads: Decoder threads; changes speed only.
        device: Where the forward pass and the ranking run.
    """

    def embed(images: Sequence[Readable]) -> Embedded:
        split = Split(images, np.zeros(len(images), dtype=np.int64))
        features = extract(
            extractor,
            split=split,
            batch_size=batch_size,
            num_threads=num_threads,
            device=device,
            label="features",
        )
        tokens = unit(features.cls[:, -1].to(device), what=str(images[0]))
        return Embedded(tokens, features.rows.numpy(), len(images))

    return embed


def measure(root: Path, *, layout: str, embed: Embed, knobs: Instance) -> list[Measured]:
    """Measure a model on one benchmark.

    Args:
        root: The benchmark's folder.
        layout: How its files lie, one of `config.LAYOUTS`.
        embed: Model to measure.
        knobs: The grid of Met's classifier.

    Returns:
        Rows whose `seconds` are those of the whole benchmark.

    Raises:
        InputError: an unknown layout, or a file that it wants is missing or broken.
    """
    start = time.monotonic()
    rows = _rows(root, layout, embed, knobs)
    return [dataclasses.replace(row, seconds=time.monotonic() - start) for row in rows]


def _rows(root: Path, layout: str, embed: Embed, knobs: Instance) -> list[Measured]:
    match layout:
        case "revisited":
            return revisited_rows(root, embed)
        case "met":
            return met_rows(root, embed, ks=knobs.neighbours, sharpness=knobs.sharpness)
        case "amstertime":
            return amstertime_rows(root, embed)
        case "copydays":
            return copy_rows(read_copydays(root), embed)
        case "disc21":
            return copy_rows(read_disc21(root), embed)
        case "groups":
            return groups_rows(root, embed)
        case _:
            flag = f"--layout {layout}"
            fix = "use one of those that config/README.md lists"
            raise InputError(flag, expected="a known layout", found="another", fix=fix)
