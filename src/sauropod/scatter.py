"""Tables too large to sort in memory: parted by a key into scratch files, then part by part."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

PART_ROWS = 1 << 21
"""Rows of a part; of MANIFEST about 600 MiB, and three times that while they are sorted."""


class Parts:
    """Rows in scratch files of a folder, one per part."""

    def __init__(self, folder: Path, count: int) -> None:
        """Prepare `count` parts; an empty one has no file."""
        self._paths = [folder / f"{number}.arrow" for number in range(count)]
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self._stack = ExitStack()

    def add(self, rows: pl.DataFrame, part: np.ndarray) -> None:
        """Append rows (n) to their parts (n,) integers; frames have the same columns each time."""
        if rows.is_empty():
            return
        order = np.argsort(part, kind="stable")
        numbers, starts = np.unique(part[order], return_index=True)
        ordered = rows[order].to_arrow(compat_level=pl.CompatLevel.oldest())
        ends = [*starts[1:].tolist(), rows.height]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            if number not in self._writers:
                sink = self._stack.enter_context(pa.OSFile(str(self._paths[number]), "wb"))
                writer = pa.ipc.new_stream(sink, ordered.schema)
                self._writers[number] = self._stack.enter_context(writer)
            self._writers[number].write_table(ordered.slice(start, end - start))

    def read(self, number: int) -> pl.DataFrame | None:
        """Rows of a part, in the order they came; None for an empty one. Ends the adding."""
        self._stack.close()
        path = self._paths[number]
        if not path.exists():
            return None
        with pa.OSFile(str(path)) as source:
            return pl.DataFrame(pa.ipc.open_stream(source).read_all())

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield every part that has rows, in order, and remove its file."""
        for number, path in enumerate(self._paths):
            rows = self.read(number)
            if rows is not None:
                path.unlink()
                yield rows
