"""Sets of one's own in few files: WebDataset tars, and Parquet as Hugging Face writes it.

tars      {train,test}/*.tar; members <key>.jpg beside <key>.cls (a number or a name)
parquet   {train,test}*.parquet, perhaps in data/; columns `image` (bytes, or a struct of bytes
          and path) and `label` (numbers, with names in the file's metadata, or names)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from sauropod import io
from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Split
from sauropod.evaluate.datasets.pieces import SUFFIXES, need, numbered

SPLITS = (TRAIN, TEST)
GROUPS_OPEN = 4


@dataclass(frozen=True)
class Member:
    """An image inside a tar."""

    tar: Path
    offset: int
    num_bytes: int

    def read_bytes(self) -> bytes:
        """Its bytes, by one `pread`."""
        return io.read_range(self.tar, offset=self.offset, num_bytes=self.num_bytes)


@dataclass(frozen=True)
class Cell:
    """An image in a row of a Parquet file."""

    path: Path
    group: int
    row: int

    def read_bytes(self) -> bytes:
        """Its bytes; the row group it lies in is kept for the rows to come."""
        value: Any = _images(self.path, self.group)[self.row].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        return data or b""


@lru_cache(maxsize=GROUPS_OPEN)
def _images(path: Path, group: int) -> Any:  # noqa: ANN401 - a column of pyarrow
    return pq.ParquetFile(path).read_row_group(group, columns=["image"]).column("image")


def _classes(names: Sequence[str]) -> list[str]:
    """Sorted names; numbers in their own order."""
    found = set(names)
    return sorted(found, key=int) if all(name.isdigit() for name in found) else sorted(found)


def _dataset(
    found: dict[str, tuple[list[Any], list[str]]], classes: Sequence[str], *, root: Path, get: str
) -> Dataset:
    splits = {}
    for split, (images, names) in found.items():
        if not images:
            raise InputError(root, expected=f"images of {split}", found="none", fix=get)
        labels = numbered(names, classes, where=root, get=get)
        splits[split] = Split(tuple(images), labels)
    return Dataset(tuple(classes), splits)


def read_tars(root: Path) -> Dataset:
    """A WebDataset; an image without a .cls beside it is left out."""
    get = "write {train,test}/*.tar with members <key>.jpg and <key>.cls"
    found: dict[str, tuple[list[Any], list[str]]] = {}
    for split in SPLITS:
        images: list[Any] = []
        names: list[str] = []
        for tar in sorted(need(root / split, get=get).glob("*.tar")):
            places, labels = {}, {}
            for name, offset, size in io.tar_members(tar):
                key, suffix = name.rpartition(".")[0], PurePosixPath(name).suffix.lower()
                if suffix in SUFFIXES:
                    places[key] = Member(tar, offset, size)
                elif suffix == ".cls":
                    text = io.read_range(tar, offset=offset, num_bytes=size)
                    labels[key] = text.decode(errors="replace").strip()
            both = [key for key in places if key in labels]
            images += [places[key] for key in both]
            names += [labels[key] for key in both]
        found[split] = images, names
    classes = _classes(found[TRAIN][1])
    return _dataset(found, classes, root=root, get=get)


def _named(schema: Any) -> list[str] | None:  # noqa: ANN401 - an Arrow schema
    """Class names that Hugging Face writes into a file's metadata."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in told["info"]["features"]["label"]["names"]]
    except (KeyError, ValueError, TypeError):
        return None


def read_parquet(root: Path) -> Dataset:
    """Parquet files of images and labels."""
    get = "write {train,test}*.parquet with columns image and label"
    folder = root / "data" if (root / "data").is_dir() else root
    found: dict[str, tuple[list[Any], list[str]]] = {}
    names: list[str] | None = None
    for split in SPLITS:
        cells: list[Any] = []
        labels: list[str] = []
        for path in sorted(need(folder, get=get).glob(f"{split}*.parquet")):
            file = pq.ParquetFile(path)
            if missing := {"image", "label"} - set(file.schema_arrow.names):
                wanted, lacks = "columns image and label", f"no {sorted(missing)[0]}"
                raise InputError(path, expected=wanted, found=lacks, fix=get)
            names = names or _named(file.schema_arrow)
            for group in range(file.num_row_groups):
                column = file.read_row_group(group, columns=["label"]).column("label").to_pylist()
                cells += [Cell(path, group, row) for row in range(len(column))]
                labels += [str(label) for label in column]
        found[split] = cells, labels
    if names and all(label.isdigit() for _, labels in found.values() for label in labels):
        found = {
            split: (cells, [names[int(label)] for label in labels])
            for split, (cells, labels) in found.items()
        }
        return _dataset(found, names, root=root, get=get)
    return _dataset(found, _classes(found[TRAIN][1]), root=root, get=get)
