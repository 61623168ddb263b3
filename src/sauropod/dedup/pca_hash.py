"""The 64-bit PCA hash: the signs of 64 principal components of similarity features.

Source: DINOv2 section 3 names the hash; MetaCLIP appendix A.2 defines it (features of a
similarity-search model, PCA to 64 dimensions, sign). Shapes: n images, d feature dimensions.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sauropod.errors import InputError
from sauropod.images import ImageError, decode
from sauropod.io import read_range

BITS = 64
THUMBNAIL_SIDE = 32
CHUNK = 8192
"""Rows of the sample widened to float64 together: 64 MiB of pixels."""
PROJECTED = 2048
"""Rows projected together: they stay in the cache."""
FLOAT32_UNIT = 2.0**-24
"""Relative error of one rounding to float32."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A fitted PCA: `mean` (d,) float64, `components` (d, 64) float64, strongest first."""

    mean: np.ndarray
    components: np.ndarray


def fit(features: np.ndarray) -> Projection:
    """Fit the PCA on (n, d) features, n > 64 and d >= 64, in float64.

    The sign of an eigenvector is arbitrary: each is flipped so that its entry of largest magnitude
    (the first of them on a tie) is positive, so the same sample gives the same hash on every
    machine.
    """
    count, width = features.shape
    if count <= BITS or width < BITS:
        where = "hash.sample"
        raise InputError(
            where,
            expected=f"more than {BITS} distinct images with features of at least {BITS} values",
            found=f"{count} of {width}",
            fix="give a larger pool (or a wider descriptor)",
        )
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((width, width))
    for start in range(0, count, CHUNK):
        centred = features[start : start + CHUNK].astype(np.float64)
        centred -= mean
        covariance += centred.T @ centred
    _, vectors = np.linalg.eigh(covariance / count)
    components = vectors[:, ::-1][:, :BITS]
    largest = np.abs(components).argmax(axis=0)
    signs = np.where(components[largest, np.arange(BITS)] < 0, -1.0, 1.0)
    return Projection(mean=mean, components=np.ascontiguousarray(components * signs))


def project(features: np.ndarray, projection: Projection, *, origin: Path) -> np.ndarray:
    """Hash (n, d) features: (n,) uint64, bit i (value 2**i) set when component i is positive.

    Raises:
        InputError: the artefact (`origin`) was fitted on features of another width.
    """
    if len(features) == 0:
        return np.empty(0, np.uint64)
    if features.shape[1] != len(projection.mean):
        raise InputError(
            origin,
            expected=f"a PCA of {features.shape[1]} dimensions",
            found=str(len(projection.mean)),
            fix="fit it again on these features",
        )
    narrow = projection.components.astype(np.float32)
    origin_scores = projection.mean @ projection.components
    parts = []
    for start in range(0, len(features), PROJECTED):
        given = features[start : start + PROJECTED]
        rows = torch.tensor(given).float().numpy()  # numpy widens float16 slower
        scores = rows @ narrow - origin_scores.astype(np.float32)
        bits = scores > 0
        # Products in float32 decide, but for those so near zero that rounding could: equal
        # features must have equal hashes wherever they stand, on every machine.
        largest = np.sqrt(np.einsum("nd,nd->n", rows, rows).max()) + np.abs(origin_scores).max()
        close = (np.abs(scores) <= (rows.shape[1] + 8) * FLOAT32_UNIT * largest).any(axis=1)
        exact = given[close].astype(np.float64) @ projection.components - origin_scores
        bits[close] = exact > 0
        parts.append(pack(bits))
    return np.concatenate(parts)


def pack(bits: np.ndarray) -> np.ndarray:
    """Pack (n, 64) booleans to (n,) uint64: column i becomes the bit of value 2**i."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    return packed.view("<u8")[:, 0].astype(np.uint64)


def pixel_features(image: Image.Image) -> np.ndarray:
    """A network-free feature: the 32x32 grey thumbnail, standardised per image; (1024,) float32.

    Standardising makes the hash blind to brightness and contrast; a flat image gives zeros.
    """
    grey = image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32).ravel()
    values = values - values.mean()
    spread = np.sqrt(values @ values / values.size)
    return values / spread if spread > 0 else values


def save(projection: Projection, path: Path, *, metadata: dict[str, str]) -> None:
    """Write the fitted artefact as safetensors; `metadata` says how it was made."""
    tensors = {"mean": projection.mean, "components": projection.components}
    save_file(tensors, path, metadata=metadata)


def load(path: Path) -> Projection:
    """Read what `save` wrote.

    Raises:
        InputError: the file is missing, is not safetensors, or holds other tensors.
    """
    fix = "make it with fit_hash.py"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            path, expected="a PCA hash artefact", found=str(error).splitlines()[0], fix=fix
        ) from error
    shapes = {name: value.shape for name, value in sorted(tensors.items())}
    mean = tensors.get("mean")
    if (
        mean is None
        or mean.ndim != 1
        or shapes != {"components": (mean.size, BITS), "mean": mean.shape}
    ):
        raise InputError(
            path,
            expected=f"tensors mean (d,) and components (d, {BITS})",
            found=str(shapes),
            fix=fix,
        )
    return Projection(mean=mean, components=tensors["components"])


def pixel_shard(images: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Pixel features of a shard's images with status ok, read from their tars.

    Returns:
        Ids (n,) uint64, features (n, 1024) float16, and the rows that could not be decoded by
        reason.
    """
    usable = images.filter(pl.col("status") == "ok")
    ids, features, dropped = [], [], Counter[str]()
    rows = usable.select("image_id", "tar", "offset", "num_bytes").iter_rows()
    for image_id, tar, offset, num_bytes in rows:
        data = read_range(Path(tar), offset=offset, num_bytes=num_bytes)
        try:
            image = decode(data, draft=THUMBNAIL_SIDE, grey=True)
        except ImageError as error:
            dropped[error.status] += 1
            continue
        ids.append(image_id)
        features.append(pixel_features(image).astype(np.float16))
    stacked = np.stack(features) if features else np.empty((0, THUMBNAIL_SIDE**2), np.float16)
    return np.array(ids, np.uint64), stacked, dict(dropped)
