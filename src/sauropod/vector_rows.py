"""Vectors that a network gives for the rows of a shard, a batch at a time.

Shapes: n images, B of them in a batch, D width.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.progress import track
from sauropod.schema import Table

Place = tuple[str, int, int]
"""Tar, offset and number of bytes of an image."""


def batches(table: pl.DataFrame, size: int, *, label: str) -> Iterator[list[Place]]:
    """Yield where the images of an IMAGES table are, `size` of them at a time, with progress."""
    places = table.select("tar", "offset", "num_bytes").iter_rows()
    shown = track(places, total=table.height, label=label, unit="images")
    while batch := list(itertools.islice(shown, size)):
        yield batch


class VectorRows:
    """A table of ids and vectors that fills up, in order of the ids it was given.

    One array holds all, from the first batch on: small arrays, kept between the large ones that a
    network frees after every batch, would leave the process no hole large enough for the next, and
    its memory would grow with the shard.
    """

    def __init__(self, ids: pl.Series) -> None:
        """Expect at most a vector for each of the ids."""
        self._ids = ids
        self._rows = np.empty(len(ids), np.int64)
        self._vectors = np.empty((len(ids), 0), np.float16)
        self._filled = 0

    def add(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Keep the vectors, (B, D), of the rows with these numbers, (B,), later ones each time."""
        if not self._filled:
            self._vectors = np.empty((len(self._ids), vectors.shape[1]), np.float16)
        part = slice(self._filled, self._filled + len(rows))
        self._rows[part], self._vectors[part] = rows, vectors
        self._filled = part.stop

    def frame(self, table: Table) -> pl.DataFrame:
        """Return what was added as a table of `image_id` and one column of vectors."""
        if not self._filled:
            return pl.DataFrame(schema=dict(table.columns))
        name, column = table.columns
        values = schema.vector_column(self._vectors[: self._filled])
        return pl.DataFrame({name: self._ids.gather(self._rows[: self._filled]), column: values})
