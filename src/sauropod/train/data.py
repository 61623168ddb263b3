"""The manifest is the training set: its rows, read with one `pread` each, in keyed order.

Position p of a run is place p % n of the permutation of epoch p // n, whatever the number of
workers or ranks; a step reads the positions from step * batch_size on. There is no sampler state.
"""

import hashlib
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import cv2
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from sauropod import images, io, schema, streaming
from sauropod.errors import InputError
from sauropod.train.randomness import Purpose, keyed

logger = logging.getLogger(__name__)
T = TypeVar("T")

_ROUNDS = 6
_MAX_REPLACEMENTS = 100
_KINDS = {"image_id": np.uint64, "tar": np.int32, "offset": np.int64, "num_bytes": np.int64}


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

    In memory a row is 28 bytes, and a row group comes at a time: 4 GB for LVD-142M.

    The size of every tar and the SHA-256 of the first and last of its images are compared with the
    manifest: a tar that was written again holds other bytes at one of these places.

    Raises:
        InputError: No MANIFEST table, or no rows; a tar that moved, shrank or changed.
    """
    schema.check(path, schema.MANIFEST)
    num_rows = pq.read_metadata(path).num_rows
    if not num_rows:
        raise InputError(
            path,
            expected="a manifest with images",
            found="0 rows",
            fix="look at the summaries of the stages before for what dropped them",
        )
    tars: dict[str, int] = {}
    columns = {name: np.empty(num_rows, kind) for name, kind in _KINDS.items()}
    ends, start = pl.DataFrame(), 0
    for frame in streaming.chunks(path, schema.MANIFEST, columns=[*_KINDS, "sha256"]):
        for tar in frame["tar"].unique(maintain_order=True):
            tars.setdefault(tar, len(tars))
        numbered = frame.with_columns(pl.col("tar").replace_strict(tars, return_dtype=pl.Int32))
        for name, column in columns.items():
            column[start : start + frame.height] = numbered[name].to_numpy()
        start += frame.height
        by_place = pl.concat([ends, frame.drop("image_id")]).sort("tar", "offset")
        ends = pl.concat(
            [by_place.unique("tar", keep=keep, maintain_order=True) for keep in ("last", "first")]
        )
    for row in ends.iter_rows(named=True):
        _check_tar(path, row)
    return Rows(tars=tuple(Path(tar) for tar in tars), **columns)


def _check_tar(manifest: Path, row: dict) -> None:
    """Compare one tar with one of the manifest's rows in it."""
    tar, end = Path(row["tar"]), row["offset"] + row["num_bytes"]
    fix = f"restore the tar or make {manifest} again"
    if not tar.is_file():
        raise InputError(tar, expected=f"a tar named by {manifest}", found="no such file", fix=fix)
    size = tar.stat().st_size
    if size < end:
        found = f"{size} bytes"
        raise InputError(tar, expected=f"at least {end} bytes", found=found, fix=fix)
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


class Shrink(Protocol):
    """How many times smaller the image of a sample position may be decoded."""

    def __call__(self, position: int, *, width: int, height: int) -> int:
        """1, 2, 4 or 8."""
        ...


class _Decoded(NamedTuple):
    pixels: np.ndarray
    size: tuple[int, int]


class Drawn(NamedTuple):
    """Images of some positions."""

    images: list[np.ndarray]
    """Each (H, W, 3) uint8, RGB."""
    sizes: list[tuple[int, int]]
    """Width and height of each whole image, which may have been decoded smaller."""
    image_ids: np.ndarray
    """(n,) int64, of the images really taken."""
    replaced: int
    """Bad rows that were passed over."""


class Loaded(NamedTuple):
    """One step's data on this rank."""

    parts: tuple[Any, ...]
    """What `compute_losses` takes, one by one; each has `to(device)`."""
    num_images: int
    """Source images in all of them."""
    replaced: int = 0
    """Bad images that were passed over to fill them."""


class Samples:
    """Decoded images by sample position.

    A bad image is replaced by the next good row of the manifest, so that batches stay full and the
    same whoever reads them; `replaced` of a sample says how many rows were passed over.
    """

    def __init__(self, rows: Rows, *, seed: int, cache: bool = False) -> None:
        """Keep the rows, and with `cache` every decoded image (3 bytes per pixel and process)."""
        self.rows = rows
        self.seed = seed
        self._cache: dict[int, _Decoded | None] | None = {} if cache else None

    @property
    def cached(self) -> bool:
        """Whether decoded images are kept."""
        return self._cache is not None

    def images(self, positions: np.ndarray, *, shrink: Shrink | None = None) -> Drawn:
        """Decode the images of the positions.

        Args:
            positions: (n,) sample positions.
            shrink: Asked for every JPEG once its header is read; None decodes all of it.

        Raises:
            InputError: A hundred rows one after the other hold no image, or a tar has vanished.
        """
        assert shrink is None or not self.cached, "what is kept must serve every later position"
        rows = order(positions, num_rows=len(self.rows), seed=self.seed)
        found = [
            self._next_good(int(row), None if shrink is None else partial(shrink, position))
            for row, position in zip(rows, positions.tolist(), strict=True)
        ]
        taken = [
            (int(row) + passed) % len(self.rows)
            for row, (_, passed) in zip(rows, found, strict=True)
        ]
        return Drawn(
            images=[image.pixels for image, _ in found],
            sizes=[image.size for image, _ in found],
            image_ids=self.rows.image_id[taken].astype(np.int64),
            replaced=sum(passed for _, passed in found),
        )

    def _next_good(self, row: int, shrink: partial[int] | None) -> tuple[_Decoded, int]:
        tries = min(_MAX_REPLACEMENTS, len(self.rows))
        for passed in range(tries):
            image = self._image((row + passed) % len(self.rows), shrink)
            if image is not None:
                return image, passed
        raise InputError(
            self.rows.tars[self.rows.tar[row]],
            expected="images that decode",
            found=f"{tries} bad ones in a row",
            fix="make the tar and the manifest again",
        )

    def _image(self, row: int, shrink: partial[int] | None) -> _Decoded | None:
        if self._cache is None:
            return self._decode(row, shrink)
        if row not in self._cache:
            self._cache[row] = self._decode(row, shrink)
        return self._cache[row]

    def _decode(self, row: int, shrink: partial[int] | None) -> _Decoded | None:
        rows = self.rows
        tar, offset = rows.tars[rows.tar[row]], int(rows.offset[row])
        try:
            data = io.read_range(tar, offset=offset, num_bytes=int(rows.num_bytes[row]))
            factor, whole = 1, None
            if shrink is not None and (whole := images.jpeg_size(data)):
                factor = shrink(width=whole[0], height=whole[1])
            image = images.decode(data, shrink=factor)
        except images.ImageError as error:
            reason = error.status
        except (InputError, OSError):
            if not tar.is_file():
                raise
            reason = "truncated"  # the tar was whole when training began
        else:
            return _Decoded(np.asarray(image), whole or image.size)
        logger.warning("%s: image at byte %d replaced: %s", tar, offset, reason)
        return None


class _Steps(Dataset, Generic[T]):
    """One item per step: lets `DataLoader` keep the order whatever the number of workers."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> T | InputError:
        try:
            return self.make(step)
        except InputError as error:
            # Returned, for the loader turns what a worker raises into a RuntimeError with a trace.
            return error


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

    Raises:
        InputError: As `make` does, in whatever process; a worker died.
    """
    if num_workers:
        # Every core has a worker. Said here, for a forked process cannot end threads it lacks.
        cv2.setNumThreads(1)
    others = set(active_children())
    loader = DataLoader(
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
    steps = iter(loader)
    workers = set(active_children()) - others
    if workers and current_thread() is main_thread():
        # The loader's handler raises wherever the main thread happens to be, in the middle of a
        # checkpoint too. Without it a death is noticed below, when the next step is waited for.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        for _ in range(start, stop):
            batch = _next(steps, workers)
            if isinstance(batch, InputError):
                raise batch
            yield batch
    finally:
        for worker in workers:  # they hold nothing, and do not listen to SIGTERM
            worker.kill()


def _next(steps: Iterator[T], workers: Iterable[BaseProcess]) -> T:
    """The next step, or the reason why there is none.

    Raises:
        InputError: A worker died.
    """
    try:
        return next(steps)
    except (RuntimeError, OSError, EOFError) as error:  # memory that it shared goes with a worker
        ended = wait([worker.sentinel for worker in workers], timeout=1)  # pipes may break before
        died = next((worker for worker in workers if worker.sentinel in ended), None)
        if died is None:
            raise
        died.join()
        code = died.exitcode or 0
        end = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        knob = "speed.num_workers"
        raise InputError(
            knob,
            expected="workers that live as long as the run",
            found=f"worker {died.pid} {end}",
            fix="lower it or give the job more memory, and run again: checkpoints are whole",
        ) from error
