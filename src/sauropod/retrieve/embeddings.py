"""Images to embeddings: the backbone's class token of the evaluation view, L2-normalised.

Source: DINOv2 appendix A.2. Shapes: B images, S side of the crop in pixels, D width.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from sauropod import images, io, schema
from sauropod.config import Embed
from sauropod.retrieve import kept
from sauropod.train.augment import eval_crop, normalise
from sauropod.vector_rows import Place, VectorRows, batches


def kept_only(table: pl.DataFrame, copies: Path | None) -> pl.DataFrame:
    """Rows of IMAGES with status ok that COPIES keeps; without COPIES, all with status ok."""
    usable = table.filter(pl.col("status") == "ok")
    if copies is None:
        return usable
    ids = usable["image_id"].to_numpy()
    return usable.filter(pl.Series(np.isin(ids, kept.ids_of(copies, ids))))


def embed(
    table: pl.DataFrame,
    backbone: nn.Module,
    *,
    knobs: Embed,
    device: torch.device,
    batch_size: int,
    num_threads: int,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Embed the images of an IMAGES table.

    Args:
        table: Rows with status ok; their bytes are read from `tar` at `offset`.
        backbone: (B, 3, S, S) float to (B, D) class tokens, in evaluation mode, on `device`.
        knobs: Resize and crop.
        device: Where the backbone is.
        batch_size: Images per pass; changes only speed and memory.
        num_threads: Threads that decode; changes only speed.

    Returns:
        EMBEDDINGS in row order, and the rows that could not be decoded by reason.
    """
    found, done = VectorRows(table["image_id"]), 0
    dropped = Counter[str]()
    with ThreadPoolExecutor(num_threads) as pool:
        for batch in batches(table, batch_size, label="embed"):
            crops = list(pool.map(lambda place: _crop(place, knobs), batch))
            dropped.update(crop for crop in crops if isinstance(crop, str))
            readable = {done + i: crop for i, crop in enumerate(crops) if not isinstance(crop, str)}
            if readable:
                vectors = _forward(backbone, np.stack(list(readable.values())), device=device)
                found.add(np.array(list(readable)), vectors)
            done += len(batch)
    return found.frame(schema.EMBEDDINGS), dict(dropped)


@torch.inference_mode()
def _forward(backbone: nn.Module, pixels: np.ndarray, *, device: torch.device) -> np.ndarray:
    """uint8 (B, 3, S, S) to float16 (B, D) of length one."""
    found: Tensor = backbone(normalise(torch.from_numpy(pixels).to(device)))
    return nn.functional.normalize(found.float(), dim=1).cpu().numpy().astype(np.float16)


def _crop(place: Place, knobs: Embed) -> np.ndarray | str:
    """Decode one image to its evaluation view, or give the status it fails with."""
    tar, offset, num_bytes = place
    data = io.read_range(Path(tar), offset=offset, num_bytes=num_bytes)
    try:
        return eval_crop(images.decode(data), resize=knobs.resize, crop=knobs.crop)
    except images.ImageError as error:
        return error.status
