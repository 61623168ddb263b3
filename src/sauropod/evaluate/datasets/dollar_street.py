"""Dollar Street: household objects by region and income (Rojas et al. 2022).

images_v2_imagenet_{train,test}.csv with columns imageRelPath, topics, region.id, income (US dollars
a month); the images below. An income is low, medium or high by the thirds of the test images.
"""

import csv
from pathlib import Path

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Split
from sauropod.evaluate.datasets.pieces import need, numbered

GET = "unpack dataset_dollarstreet (mlcommons.org)"
COLUMNS = ("imageRelPath", "topics", "region.id", "income")
BUCKETS = ("low", "medium", "high")
REGIONS = {"af": "africa", "as": "asia", "am": "americas", "eu": "europe"}


def _read(path: Path) -> list[dict[str, str]]:
    with need(path, get=GET).open(newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
            expected, found = f"columns {', '.join(COLUMNS)}", f"no {missing[0]}"
            raise InputError(path, expected=expected, found=found, fix=GET)
        return list(reader)


def read_dollar_street(root: Path) -> Dataset:
    """List both splits, with the groups `region` and `income`.

    Raises:
        InputError: a table is missing, empty, or lacks a column; an income that is no number.
    """
    tables = {split: root / f"images_v2_imagenet_{split}.csv" for split in (TRAIN, TEST)}
    told = {split: _read(path) for split, path in tables.items()}
    classes = sorted({row["topics"] for row in told[TRAIN]})
    splits = {}
    for split, path in tables.items():
        rows = told[split]
        if not rows:
            raise InputError(path, expected="rows", found="none", fix=GET)
        try:
            incomes = np.asarray([float(row["income"]) for row in rows])
        except ValueError as error:
            raise InputError(path, expected="numbers", found=str(error), fix=GET) from None
        bounds = np.quantile(incomes, [1 / 3, 2 / 3])
        groups = {
            "region": np.asarray([REGIONS.get(r["region.id"], r["region.id"]) for r in rows]),
            "income": np.asarray(BUCKETS)[np.searchsorted(bounds, incomes)],
        }
        labels = numbered([row["topics"] for row in rows], classes, where=path, get=GET)
        images = tuple(root / row["imageRelPath"] for row in rows)
        splits[split] = Split(images, labels, groups)
    return Dataset(tuple(classes), splits)
