"""ROxford and RParis: retrieval of landmarks (Radenovic et al., CVPR 2018).

Layout, as revisitop lays it out: gnd_<name>.pkl (or gnd.json, the same in JSON) and jpg/. The file
holds `imlist` and `qimlist`, names without their ending, and `gnd`: per query the indices into
imlist that are `easy`, `hard` and `junk`, and its box `bbx`, which the query is cropped to.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.photos import Box, Cropped, Embed, named_photos, unreadable_rows
from sauropod.evaluate.plain_pickle import PickledArray, read_plain
from sauropod.evaluate.ranking import Relevance, precision_at, trapezoidal_precision
from sauropod.evaluate.search import Score, Search, search_rows

SCORES: dict[str, Score] = {
    "map": trapezoidal_precision,
    **{f"mp{k}": partial(precision_at, k=k) for k in (1, 5, 10)},
}
GRADES = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
"""What counts as positive and what as junk."""
_FIX = "get gnd_<name>.pkl and the images, into jpg/, from github.com/filipradenovic/revisitop"


@dataclass(frozen=True)
class Landmarks:
    """Cropped queries, the photos searched, and by grade what each query should find."""

    queries: tuple[Cropped, ...]
    gallery: tuple[Path, ...]
    grades: dict[str, list[Relevance]]


def read_revisited(root: Path) -> Landmarks:
    """List queries, gallery and ground truth; no image is opened.

    Raises:
        InputError: the ground truth is missing or not as described, or an image is missing.
    """
    path = _truth(root)
    try:
        book: Any = json.loads(path.read_bytes()) if path.suffix == ".json" else read_plain(path)
        names, query_names = ([f"{name}.jpg" for name in book[k]] for k in ("imlist", "qimlist"))
        lists = [
            {kind: _indices(of[kind], below=len(names)) for kind in ("easy", "hard", "junk")}
            for of in book["gnd"]
        ]
        boxes = tuple(_box(of["bbx"]) for of in book["gnd"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        expected = "a dict with imlist, qimlist and gnd of easy, hard, junk and bbx"
        raise InputError(path, expected=expected, found=repr(error), fix=_FIX) from None
    if len(query_names) != len(lists):
        expected, found = f"{len(query_names)} entries in gnd, as in qimlist", str(len(lists))
        raise InputError(path, expected=expected, found=found, fix=_FIX)
    queries = named_photos(root / "jpg", query_names, by=path, fix=_FIX)
    gallery = named_photos(root / "jpg", names, by=path, fix=_FIX)
    grades = {
        grade: [Relevance(_joined(of, wanted), _joined(of, junk)) for of in lists]
        for grade, (wanted, junk) in GRADES.items()
    }
    return Landmarks(tuple(map(Cropped, queries, boxes)), gallery, grades)


def _truth(root: Path) -> Path:
    found = sorted([*root.glob("gnd*.pkl"), *root.glob("gnd*.json")])
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(root, expected="one gnd_<name>.pkl or gnd.json", found=names, fix=_FIX)
    return found[0]


def _numbers(value: object) -> np.ndarray:
    return np.asarray(value.array if isinstance(value, PickledArray) else value).reshape(-1)


def _indices(value: object, *, below: int) -> np.ndarray:
    """Indices into imlist, int64."""
    numbers = _numbers(value)
    indices = numbers.astype(np.int64)
    if (indices != numbers).any() or (indices < 0).any() or (indices >= below).any():
        message = f"indices that are not of 0..{below - 1}"
        raise ValueError(message)
    return indices


def _box(value: object) -> Box:
    left, top, right, bottom = _numbers(value).astype(float).tolist()
    if not (left < right and top < bottom):
        message = f"an empty box {[left, top, right, bottom]}"
        raise ValueError(message)
    return left, top, right, bottom


def _joined(lists: dict[str, np.ndarray], kinds: Sequence[str]) -> np.ndarray:
    return np.concatenate([lists[kind] for kind in kinds])


def revisited_rows(root: Path, embed: Embed) -> list[Measured]:
    """`{easy,medium,hard}_{map,mp1,mp5,mp10}` exactly as revisitop measures."""
    landmarks = read_revisited(root)
    queries, gallery = embed(landmarks.queries), embed(landmarks.gallery)
    rows = search_rows([Search(queries, gallery, landmarks.grades)], scores=SCORES)
    return rows + unreadable_rows(queries=queries, gallery=gallery)
