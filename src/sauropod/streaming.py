"""Tables too large for memory: read a chunk at a time, written a frame at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sauropod import schema
from sauropod.errors import InputError
from sauropod.io import replacing
from sauropod.schema import Table

CHUNK_ROWS = 1 << 20


def chunks(
    path: Path, table: Table, *, rows: int = CHUNK_ROWS, columns: Sequence[str] = ()
) -> Iterator[pl.DataFrame]:
    """Yield a file of a table in order, at most `rows` rows and one row group at a time.

    `columns` are those read; none means all.

    Raises:
        InputError: not a file of the table, or one that is damaged inside.
    """
    schema.check(path, table)
    try:
        with pq.ParquetFile(path) as file:
            # Not iter_batches, which holds on to what it has read of a file until its end.
            for group in range(file.num_row_groups):
                read = file.read_row_group(group, columns=list(columns or table.columns))
                yield from pl.DataFrame(read).iter_slices(rows)
    except (pa.ArrowException, OSError) as error:
        fix = "rerun the stage that wrote it"
        found = str(error).splitlines()[0]
        raise InputError(path, expected="a whole Parquet file", found=found, fix=fix) from error


def write(
    frames: Iterable[pl.DataFrame], path: Path, table: Table, *, made_by: Mapping[str, str]
) -> None:
    """Write a table as `schema.write` does, from frames that are never together in memory."""
    rows = 0
    oldest = pl.CompatLevel.oldest()
    layout = pl.DataFrame(schema=dict(table.columns)).to_arrow(compat_level=oldest).schema
    with replacing(path) as temporary, pq.ParquetWriter(temporary, layout) as writer:
        for frame in frames:
            rows += frame.height
            writer.write_table(frame.select(list(table.columns)).to_arrow(compat_level=oldest))
        metadata = {**made_by, "table": table.name, "rows": str(rows)}
        writer.add_key_value_metadata(metadata)
