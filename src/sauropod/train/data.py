"""The manifest is the training set: its rows, read with one `pread` each, in keyed order.

Position p of a run is place p % n of the permutation of epoch p // n, whatever the number of
workers or ranks; a step reads the positions from step * batch_size on. There is no sampler state.
"""

import hashlib
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader, Dataset

from sauropod import images, io, schema
from sauropod.errors import InputError
from sauropod.train.randomness import Purpose, keyed

logger = logging.getLogger(__name__)
T = TypeVar("T")

_ROUNDS = 6
_MAX_REPLACEMENTS = 100


@dataclass(frozen=True)
class Rows:
    """Where the images are: row i is `num_bytes[i]` bytes at `offset[i]` of `tars[tar[i]]`."""

    image_id: np.ndarray
    tars: tuple[Path, ...]
    tar: np.ndarray
    offset: np.ndarray
    num_bytes: np.ndarray

    def __len__(self) -> int:
        """Number of images."""
        return len(self.tar)


def read_manifest(path: Path) -> Rows:
    """Read where the images of a manifest are, and check that the tars still hold them.

    The size of every tar and the SHA-256 of one image per tar are compared with the manifest.

    Raises:
        InputError: No MANIFEST table, or no rows; a tar that moved, shrank or changed.
    """
    frame = schema.read(
        path, schema.MANIFEST, columns=["image_id", "tar", "offset", "num_bytes", "sha256"]
    )
    if frame.is_empty():
        raise InputError(
            path,
            expected="a manifest with images",
            found="0 rows",
            fix="look at the summaries of the stages before for what dropped them",
        )
    last = frame.group_by("tar", maintain_order=True).agg(
        pl.all().sort_by("offset").last(), end=(pl.col("offset") + pl.col("num_bytes")).max()
    )
    for row in last.iter_rows(named=True):
        _check_tar(path, row)
    tars = last["tar"].to_list()
    number = pl.col("tar").replace_strict(tars, range(len(tars)), return_dtype=pl.Int32)
    return Rows(
        image_id=frame["image_id"].to_numpy(),
        tars=tuple(Path(tar) for tar in tars),
        tar=frame.select(number).to_series().to_numpy(),
        offset=frame["offset"].to_numpy(),
        num_bytes=frame["num_bytes"].to_numpy(),
    )


def _check_tar(manifest: Path, row: dict) -> None:
    """Compare one tar with the manifest's last row in it."""
    tar = Path(row["tar"])
    fix = f"restore the tar or make {manifest} again"
    if not tar.is_file():
        raise InputError(tar, expected=f"a tar named by {manifest}", found="no such file", fix=fix)
    size = tar.stat().st_size
    if size < row["end"]:
        found = f"{size} bytes"
        raise InputError(tar, expected=f"at least {row['end']} bytes", found=found, fix=fix)
    data = io.read_range(tar, offset=row["offset"], num_bytes=row["num_bytes"])
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise InputError(
            tar,
            expected=f"the image of sha256 {row['sha256'][:12]} at byte {row['offset']}",
            found="other bytes",
            fix=fix,
        )


def order(positions: np.ndarray, *, num_rows: int, seed: int) -> np.ndarray:
    """Row of every sample position: each epoch is another permutation of all rows.

    The permutation is a Feistel network on the next power of four, walked until it lands below
    `num_rows` (Black and Rogaway 2002, cycle walking): any place in any epoch in constant time and
    memory, where a shuffled list of 142 M rows would cost a gigabyte per process.

    Args:
        positions: (n,) integer, >= 0.
        num_rows: Rows of the manifest, > 0.
        seed: The run's seed.

    Returns:
        (n,) int64 in [0, num_rows).
    """
    positions = np.asarray(positions, np.int64)
    rows = np.empty_like(positions)
    for epoch in np.unique(positions // num_rows):
        inside = positions // num_rows == epoch
        rows[inside] = _permute(positions[inside] % num_rows, num_rows, seed, int(epoch))
    return rows


def _permute(places: np.ndarray, num_rows: int, seed: int, epoch: int) -> np.ndarray:
    half = np.uint64(max(1, ((num_rows - 1).bit_length() + 1) // 2))
    generator = keyed(seed, purpose=Purpose.ORDER, counter=epoch)
    keys = generator.integers(1 << 63, size=_ROUNDS, dtype=np.uint64)
    values = places.astype(np.uint64)
    walking = np.arange(len(values))
    while len(walking):
        values[walking] = _feistel(values[walking], half, keys)
        walking = walking[values[walking] >= num_rows]
    return values.astype(np.int64)


def _feistel(values: np.ndarray, half: np.uint64, keys: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << half) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64 bits (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Drawn(NamedTuple):
    """Images of some positions."""

    images: list[np.ndarray]
    """Each (H, W, 3) uint8, RGB."""
    image_ids: np.ndarray
    """(n,) int64, of the images really taken."""
    replaced: int
    """Bad rows that were passed over."""


class Loaded(NamedTuple):
    """One step's data on this rank."""

    batch: Any
    """What `compute_losses` takes; has `to(device)`."""
    num_images: int
    """Source images in it."""
    replaced: int = 0
    """Bad images that were passed over to fill it."""


class Samples:
    """Decoded images by sample position.

    A bad image is replaced by the next good row of the manifest, so that batches stay full and the
    same whoever reads them; `replaced` of a sample says how many rows were passed over.
    """

    def __init__(self, rows: Rows, *, seed: int, cache: bool = False) -> None:
        """Keep the rows, and with `cache` every decoded image (3 bytes per pixel and process)."""
        self.rows = rows
        self.seed = seed
        self._cache: dict[int, np.ndarray | None] | None = {} if cache else None

    def images(self, positions: np.ndarray) -> Drawn:
        """Decode the images of the positions.

        Raises:
            InputError: A hundred rows one after the other hold no image.
        """
        rows = order(positions, num_rows=len(self.rows), seed=self.seed)
        found = [self._next_good(int(row)) for row in rows]
        taken = [
            (int(row) + passed) % len(self.rows)
            for row, (_, passed) in zip(rows, found, strict=True)
        ]
        return Drawn(
            images=[image for image, _ in found],
            image_ids=self.rows.image_id[taken].astype(np.int64),
            replaced=sum(passed for _, passed in found),
        )

    def _next_good(self, row: int) -> tuple[np.ndarray, int]:
        tries = min(_MAX_REPLACEMENTS, len(self.rows))
        for passed in range(tries):
            image = self._image((row + passed) % len(self.rows))
            if image is not None:
                return image, passed
        raise InputError(
            self.rows.tars[self.rows.tar[row]],
            expected="images that decode",
            found=f"{tries} bad ones in a row",
            fix="make the tar and the manifest again",
        )

    def _image(self, row: int) -> np.ndarray | None:
        if self._cache is None:
            return self._decode(row)
        if row not in self._cache:
            self._cache[row] = self._decode(row)
        return self._cache[row]

    def _decode(self, row: int) -> np.ndarray | None:
        rows = self.rows
        tar, offset = rows.tars[rows.tar[row]], int(rows.offset[row])
        data = io.read_range(tar, offset=offset, num_bytes=int(rows.num_bytes[row]))
        try:
            return np.asarray(images.decode(data))
        except images.ImageError as error:
            logger.warning("%s: image at byte %d replaced: %s", tar, offset, error.status)
            return None


class _Steps(Dataset, Generic[T]):
    """One item per step: lets `DataLoader` keep the order whatever the number of workers."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> T:
        return self.make(step)


def _as_it_is(batch: T) -> T:
    return batch


def _ignore_signals(_worker: int) -> None:
    """Leave SIGTERM and SIGUSR1 to the loop, which finishes its step and writes a checkpoint."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def batches(
    make: Callable[[int], T], *, start: int, stop: int, num_workers: int = 0, pin: bool = False
) -> Iterator[T]:
    """Yield `make(step)` for the steps from `start` to below `stop`, in order.

    Args:
        make: Pure function of the step.
        start: First step.
        stop: One past the last step.
        num_workers: Processes that work ahead; 0 works in this one. Changes speed only.
        pin: Put tensors into pinned memory, for a CUDA device.
    """
    yield from DataLoader(
        _Steps(make),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=num_workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        worker_init_fn=_ignore_signals,
        # Without one the loader would draw from the global generator.
        generator=torch.Generator(),
    )
