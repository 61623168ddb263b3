"""Where links and images come from: lists, single files or folders of archives, tables, tars."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from sauropod.errors import InputError

ENDINGS = {
    "warc": (".warc", ".warc.gz", ".warc.zst", ".arc", ".arc.gz"),
    "wat": (".wat", ".wat.gz"),
    "urls": (".parquet", ".csv", ".tsv", ".txt"),
    "tars": (".tar",),
}
URL_COLUMNS = ("url", "URL", "image_url", "img_url")


def files(source: Path, *, kind: str) -> list[Path]:
    """Files a source names, in a fixed order.

    A `.paths` file (or `.txt`, unless the files are URL lists) names one file per line, from the
    working directory or from its own folder; a folder gives every file of the kind, sorted; any
    other file is itself.

    Raises:
        InputError: nothing there, or a list that names a missing file.
    """
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.name.endswith(ENDINGS[kind]))
        if not found:
            _stop(source, expected=f"a folder of {kind} files", found="none in it")
        return found
    if not source.is_file():
        _stop(source, expected=f"a {kind} file, a list of them or a folder", found="nothing there")
    if source.suffix == ".paths" or (source.suffix == ".txt" and kind != "urls"):
        return _listed(source, kind=kind)
    return [source]


def url_table(path: Path) -> pl.DataFrame:
    """Read a URL list: columns url and page_url (null when the list has none), rows as they stand.

    Args:
        path: Parquet, CSV or TSV with a url column (also URL, image_url, img_url), or a text file
            with one URL per line.

    Raises:
        InputError: not readable as such, or no url column.
    """
    try:
        if path.suffix == ".txt":
            lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines()]
            return _two_columns(pl.DataFrame({"url": [line for line in lines if line]}), "url")
        if path.suffix == ".parquet":
            frame = pl.scan_parquet(path, glob=False)
        else:
            separator = "\t" if path.suffix == ".tsv" else ","
            frame = pl.scan_csv(path, separator=separator, infer_schema=False, glob=False)
        names = frame.collect_schema().names()
        column = next((name for name in URL_COLUMNS if name in names), None)
        if column is None:
            _stop(path, expected="a url column", found=f"columns {', '.join(names)[:200]}")
        return _two_columns(frame.collect(), column)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0][:200]
        raise InputError(
            path, expected="a URL list", found=f"unreadable ({first})", fix="give Parquet or CSV"
        ) from error


def _two_columns(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    page = pl.col("page_url") if "page_url" in frame.columns else pl.lit(None)
    return frame.select(
        pl.col(column).cast(pl.String).fill_null("").alias("url"),
        page.cast(pl.String).alias("page_url"),
    )


def _listed(source: Path, *, kind: str) -> list[Path]:
    lines = [line.strip() for line in source.read_text("utf-8").splitlines()]
    named = [Path(line) for line in lines if line and not line.startswith("#")]
    found = [path if path.is_file() else source.parent / path for path in named]
    missing = [path for path, there in zip(named, found, strict=True) if not there.is_file()]
    if missing:
        _stop(source, expected="a list of files that exist", found=f"no file {missing[0]}")
    if not found:
        _stop(source, expected=f"a list of {kind} files", found="an empty list")
    return found


def part_of(items: Sequence[Path], *, part: int, num_parts: int) -> list[Path]:
    """Every num_parts-th item from the part-th on. Raises InputError for a part out of range."""
    check_part(part, num_parts=num_parts)
    return list(items[part::num_parts])


def check_part(part: int, *, num_parts: int) -> None:
    """Raise InputError unless 0 <= part < num_parts."""
    if not 0 <= part < num_parts:
        expected = f"a part from 0 to {num_parts - 1}"
        raise InputError("--part", expected=expected, found=str(part), fix="number parts from 0")


def _stop(source: Path, *, expected: str, found: str) -> NoReturn:
    raise InputError(source, expected=expected, found=found, fix="check the path")
