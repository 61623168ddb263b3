from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.datasets.packed import read_parquet, read_tars

Make = Callable[[str], Path]


def test_names_of_classes_come_from_the_files_metadata(tmp_path: Path) -> None:
    told = b'{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'
    for split in ("train", "test"):
        table = pa.table({"image": [b"x", b"y"], "label": [1, 0]})
        table = table.replace_schema_metadata({b"huggingface": told})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    found = read_parquet(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.splits["train"].labels.tolist() == [1, 0]


def test_numbers_sort_as_numbers(tmp_path: Path) -> None:
    for split in ("train", "test"):
        frame = pl.DataFrame({"image": [b"x"] * 3, "label": [10, 9, 2]})
        frame.write_parquet(tmp_path / f"{split}.parquet")
    assert read_parquet(tmp_path).classes == ("2", "9", "10")


def test_a_table_without_labels_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"image": [b"x"]}).write_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match="no label"):
        read_parquet(tmp_path)


def test_a_class_of_the_test_split_alone_is_refused(miniature: Make) -> None:
    root = miniature("tars")
    (root / "train" / "00000.tar").rename(root / "train" / "x.tar")
    tar = root / "test" / "00000.tar"
    tar.write_bytes(tar.read_bytes().replace(b"\x001", b"\x001"))
    assert len(read_tars(root).splits["test"].images) == 2
