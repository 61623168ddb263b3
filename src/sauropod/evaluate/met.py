"""The Met: recognise museum exhibits in visitors' photos by k nearest neighbours (NeurIPS 2021).

Layout: images/ and ground_truth/{MET_database,valset,testset}.json, lists of objects with `path`
(in images/) and `id` (database) or `MET_id` (queries; without one a query is a distractor, which
shows nothing of the museum). A mini_MET_database.json is taken where there is no larger one.

Shapes: Q queries, K neighbours.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sauropod.errors import InputError
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.photos import Embed, named_photos, unreadable_rows
from sauropod.evaluate.ranking import micro_average_precision, nearest, similarities

DISTRACTOR = -1
_FIX = "unpack images/ and ground_truth/ of cmp.felk.cvut.cz/met"


@dataclass(frozen=True)
class Labelled:
    """Photos and the numbers of the exhibits they show, int64 (n,)."""

    photos: tuple[Path, ...]
    labels: np.ndarray


@dataclass(frozen=True)
class Met:
    """Database to look in, and queries to tune and to measure on."""

    database: Labelled
    val: Labelled
    test: Labelled


class Answers(NamedTuple):
    """What the classifier says of queries: exhibits int64 (Q,) and confidences float64 (Q,)."""

    labels: np.ndarray
    confidences: np.ndarray


class Neighbours(NamedTuple):
    """Labels int64 (Q, K) and similarities float64 (Q, K) of neighbours, the nearest first."""

    labels: np.ndarray
    similarities: np.ndarray


def read_met(root: Path) -> Met:
    """List the Met's three splits; no image is opened.

    Raises:
        InputError: a list is missing or not as described, or names an image that is not there.
    """
    truth = root / "ground_truth"
    database = truth / "MET_database.json"
    if not database.is_file() and (truth / "mini_MET_database.json").is_file():
        database = truth / "mini_MET_database.json"
    return Met(
        _read_list(database, root / "images", label="id"),
        _read_list(truth / "valset.json", root / "images", label="MET_id"),
        _read_list(truth / "testset.json", root / "images", label="MET_id"),
    )


def _read_list(path: Path, images: Path, *, label: str) -> Labelled:
    try:
        entries = json.loads(path.read_bytes())
        names = [str(entry["path"]) for entry in entries]
        labels = [int(entry[label] if label == "id" else entry.get(label, -1)) for entry in entries]
    except FileNotFoundError:
        raise InputError(path, expected="a list", found="no such file", fix=_FIX) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        expected = f"a JSON list of objects with path and {label}"
        raise InputError(path, expected=expected, found=repr(error), fix=_FIX) from None
    photos = named_photos(images, names, by=path, fix=_FIX)
    return Labelled(photos, np.asarray(labels, dtype=np.int64))


def neighbours_of(
    queries: torch.Tensor, database: torch.Tensor, *, labels: np.ndarray, k: int
) -> Neighbours:
    """The k nearest of the database to every query, with their labels."""
    found = [nearest(part, k=k) for _, part in similarities(queries, database)]
    values, index = (torch.cat(tensors).cpu() for tensors in zip(*found, strict=True))
    return Neighbours(labels[index.numpy()], values.double().numpy())


def classify(near: Neighbours, *, k: int, sharpness: float, num_exhibits: int) -> Answers:
    """The exhibit of the nearest neighbour, and how sure that is.

    An exhibit's score is the similarity of its nearest photo among the k neighbours, at least 0;
    that of all others is 0. The confidence is the softmax of `sharpness` times the scores.

    Args:
        near: Neighbours, at least k or all there are.
        k: How many of them count.
        sharpness: Factor of the scores.
        num_exhibits: In the database.

    Returns:
        Of exhibits with equal scores the one with the least number.
    """
    labels, scores = near.labels[:, :k], np.maximum(near.similarities[:, :k], 0.0)
    # Neighbours are in order: an exhibit's first is its nearest.
    same = labels[:, :, None] == labels[:, None, :]
    is_first = ~np.tril(same, -1).any(axis=2)
    best = scores[:, 0]
    is_best = scores == best[:, None]
    answers = np.where(is_best, labels, np.iinfo(np.int64).max).min(axis=1)
    weights = np.where(is_first, np.exp(sharpness * scores), 0.0).sum(axis=1)
    others = num_exhibits - is_first.sum(axis=1)
    return Answers(answers, np.exp(sharpness * best) / (weights + others))


def gap(answers: Answers, truth: np.ndarray) -> float:
    """Global average precision: one list over all queries by falling confidence (0..1).

    Args:
        answers: Of the classifier; equal confidences stay in the queries' order.
        truth: Exhibits int64 (Q,), DISTRACTOR for none: whatever is answered then is wrong.
    """
    order = np.argsort(-answers.confidences, kind="stable")
    hits = (answers.labels == truth)[order]
    return micro_average_precision(hits, num_positives=int((truth != DISTRACTOR).sum()))


def tuned(
    near: Neighbours, truth: np.ndarray, *, grid: Sequence[tuple[int, float]], num_exhibits: int
) -> tuple[int, float]:
    """K and sharpness of the grid with the best GAP; the first among equals."""
    scores = [
        gap(classify(near, k=k, sharpness=sharpness, num_exhibits=num_exhibits), truth)
        for k, sharpness in grid
    ]
    return grid[int(np.argmax(scores))]


def met_rows(
    root: Path, embed: Embed, *, ks: Sequence[int], sharpness: Sequence[float]
) -> list[Measured]:
    """`gap`, `gap_minus`, `acc` on the test queries, as published (without whitening).

    `gap_minus` and `acc` leave distractors out. K and sharpness, in the rows `best_k` and
    `best_sharpness`, are tuned for GAP on the validation queries.

    Args:
        root: The benchmark's folder.
        embed: Model to measure.
        ks: Numbers of neighbours to choose from.
        sharpness: Factors of the scores to choose from.
    """
    met = read_met(root)
    database, val, test = (embed(part.photos) for part in (met.database, met.val, met.test))
    labels = met.database.labels[database.kept]
    num_exhibits = len(np.unique(labels))
    near = [
        neighbours_of(part.features, database.features, labels=labels, k=max(ks))
        for part in (val, test)
    ]
    truth, test_truth = met.val.labels[val.kept], met.test.labels[test.kept]
    grid = list(itertools.product(ks, sharpness))
    k, factor = tuned(near[0], truth, grid=grid, num_exhibits=num_exhibits)
    answers = classify(near[1], k=k, sharpness=factor, num_exhibits=num_exhibits)
    shown = test_truth != DISTRACTOR
    known = Answers(*(part[shown] for part in answers))
    values = {
        "gap": (gap(answers, test_truth), len(test_truth)),
        "gap_minus": (gap(known, test_truth[shown]), len(known.labels)),
        "acc": (float((known.labels == test_truth[shown]).mean()), len(known.labels)),
        "best_k": (float(k), len(truth)),
        "best_sharpness": (factor, len(truth)),
    }
    rows = [Measured(metric, value, count, 0.0) for metric, (value, count) in values.items()]
    return rows + unreadable_rows(database=database, val=val, test=test)
