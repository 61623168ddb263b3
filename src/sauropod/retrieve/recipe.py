"""The recipe of the training set: which curated dataset enters how, and how many images that is.

A row is text: `dataset:as_is` takes the curated images themselves, `dataset:sample:N` retrieves N
neighbours per curated image, `dataset:cluster` draws from the clusters its images fall into.
Source: DINOv2 appendix A, Table 15.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from sauropod.errors import InputError

Mode = Literal["as_is", "sample", "cluster"]
WHERE = "manifest.recipe"
FORM = "dataset:as_is, dataset:sample:N or dataset:cluster"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; `per_query` is N of the mode sample and 0 otherwise."""

    dataset: str
    mode: Mode
    per_query: int = 0

    def __str__(self) -> str:
        """Spell the row as it is written in the recipe."""
        number = f":{self.per_query}" if self.mode == "sample" else ""
        return f"{self.dataset}:{self.mode}{number}"


def parse(text: str) -> Row:
    """Read one row.

    Raises:
        InputError: the text has another form, or N is not a positive whole number.
    """
    match = re.fullmatch(r"([\w.-]+):(?:(as_is|cluster)|sample:([1-9]\d*))", text)
    if match is None:
        raise InputError(WHERE, expected=FORM, found=repr(text), fix="correct the row")
    dataset, mode, number = match.groups()
    if mode is None:
        return Row(dataset=dataset, mode="sample", per_query=int(number))
    return Row(dataset=dataset, mode="as_is" if mode == "as_is" else "cluster")


def parse_all(texts: Sequence[str], *, datasets: Collection[str] | None = None) -> list[Row]:
    """Read a whole recipe, in order.

    Args:
        texts: The rows.
        datasets: Names of the curated datasets there are; None does not check.

    Raises:
        InputError: no row, a bad one, an unknown dataset, or a dataset twice in one mode.
    """
    if not texts:
        raise InputError(WHERE, expected="at least one row", found="none", fix=f"write {FORM}")
    rows = [parse(text) for text in texts]
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if datasets is not None and row.dataset not in datasets:
            expected = f"one of {', '.join(sorted(datasets)) or 'no dataset at all'}"
            fix = "name a dataset listed under `curated`"
            raise InputError(WHERE, expected=expected, found=repr(row.dataset), fix=fix)
        if (row.dataset, row.mode) in seen:
            expected = "each dataset once in each mode"
            raise InputError(WHERE, expected=expected, found=f"{row} again", fix="remove one row")
        seen.add((row.dataset, row.mode))
    return rows


def planned(
    row: Row, *, num_images: int, num_clusters: int = 0, per_cluster: int = 10_000, cap: int
) -> tuple[int, int]:
    """Count the images a row brings when the pool never runs short.

    Args:
        row: The row.
        num_images: Images of the curated dataset.
        num_clusters: Clusters with enough of its images (mode cluster).
        per_cluster: Images drawn from each of them.
        cap: Most images a dataset brings in mode cluster.

    Returns:
        Retrieved (0 for as_is) and final number of rows, collisions counted with multiplicity as
        the paper does.
    """
    if row.mode == "as_is":
        return 0, num_images
    if row.mode == "sample":
        return row.per_query * num_images, row.per_query * num_images
    retrieved = num_clusters * per_cluster
    return retrieved, min(retrieved, cap)
