"""Copy detection: which pairs of a query and a reference are edits of the same photo.

Layouts: Copydays (original/, strong/, jpegqual/<quality>/, crops/<percent>/; the first four letters
of a name say which original it is) and DISC21, the Image Similarity Challenge of 2021 (queries/,
references/ and a *ground_truth.csv of query_id,reference_id; a query without a reference is no
copy). All pairs are ranked in one list by similarity, and its micro-averaged precision is measured;
among equal similarities wrong pairs come first, as the challenge had it.

Shapes: Q queries, R references, M pairs that are kept.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sauropod.errors import InputError
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.photos import Embed, photos_in, unreadable_rows
from sauropod.evaluate.ranking import (
    Relevance,
    by_similarity,
    is_found,
    micro_average_precision,
    nearest,
    similarities,
    trapezoidal_precision,
)
from sauropod.evaluate.search import Score, Search, by_group, readable, search_rows

ORIGINALS = "original"
PREFIX = 4
SCORES: dict[str, Score] = {"map": trapezoidal_precision, "top1": partial(is_found, k=1)}
MOST_PAIRS = 500_000
"""The challenge's limit on pairs that are ranked."""
_FIX = "unpack INRIA Copydays (original/, strong/, ...), or DISC21 of ai.meta.com/datasets"


class Pairs(NamedTuple):
    """Pairs in the order of falling similarity, then by query and reference."""

    similarity: np.ndarray
    """Float32 (M,)."""
    query: np.ndarray
    """Int64 (M,)."""
    reference: np.ndarray
    """Int64 (M,)."""


@dataclass(frozen=True)
class Copies:
    """Edits by their kind, the photos they may be of, and by kind what each edit is of."""

    edits: dict[str, tuple[Path, ...]]
    references: tuple[Path, ...]
    truth: dict[str, list[Relevance]]


def read_copydays(root: Path) -> Copies:
    """Edits by kind (`strong`, `jpegqual_3`, `crops_80`, ...) and the originals.

    Raises:
        InputError: a folder is missing or empty, or an edit is of no original.
    """
    originals = photos_in(root / ORIGINALS, fix=_FIX)
    among = [path.name[:PREFIX] for path in originals]
    edits, truth = {}, {}
    for folder in sorted(
        [*root.glob("strong/"), *root.glob("jpegqual/*/"), *root.glob("crops/*/")]
    ):
        photos = photos_in(folder, fix=_FIX)
        groups = [path.name[:PREFIX] for path in photos]
        if strange := sorted(set(groups) - set(among)):
            expected = f"names that begin like one in {ORIGINALS}/"
            raise InputError(folder, expected=expected, found=f"{strange[0]}...", fix=_FIX)
        kind = "_".join(folder.relative_to(root).parts)
        edits[kind], truth[kind] = photos, by_group(groups, among=among, itself=False)
    if not edits:
        raise InputError(root, expected="strong/, jpegqual/ or crops/", found="none", fix=_FIX)
    return Copies(edits, originals, truth)


def read_disc21(root: Path) -> Copies:
    """Queries, references and what each query is a copy of.

    Raises:
        InputError: a part is missing, or the ground truth names an image that is not there.
    """
    queries, references = (photos_in(root / part, fix=_FIX) for part in ("queries", "references"))
    tables = sorted(root.glob("*ground_truth.csv"))
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables) or "none"
        raise InputError(root, expected="one *ground_truth.csv", found=names, fix=_FIX)
    places = [{path.stem: i for i, path in enumerate(of)} for of in (queries, references)]
    found: list[list[int]] = [[] for _ in queries]
    for pair in _read_pairs(tables[0]):
        if missing := [name for name, of in zip(pair, places, strict=True) if name not in of]:
            words = f"{missing[0]} without its image"
            raise InputError(tables[0], expected="names of images", found=words, fix=_FIX)
        found[places[0][pair[0]]].append(places[1][pair[1]])
    truth = [Relevance(np.asarray(one, np.int64), np.empty(0, np.int64)) for one in found]
    return Copies({"queries": queries}, references, {"queries": truth})


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    """Names of queries and references, of the queries that have one."""
    expected = "lines of query_id,reference_id"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row and row != ["query_id", "reference_id"]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(path, expected=expected, found=str(error), fix=_FIX) from None
    if strange := [row for row in rows if len(row) != 2]:
        raise InputError(path, expected=expected, found=repr(",".join(strange[0])), fix=_FIX)
    pairs = [(query, reference) for query, reference in rows if reference]
    if not pairs:
        raise InputError(path, expected=expected, found="no reference at all", fix=_FIX)
    return pairs


def best_pairs(
    queries: torch.Tensor, references: torch.Tensor, *, limit: int, chunk: int | None = None
) -> Pairs:
    """The `limit` most similar pairs, exactly.

    Args:
        queries: Unit features (Q, D).
        references: Unit features (R, D).
        limit: M at most.
        chunk: Queries at once; None bounds memory.
    """
    values, places = torch.empty(0), torch.empty(0, dtype=torch.int64)
    for start, similarity in similarities(queries, references, chunk=chunk):
        found, index = nearest(similarity.reshape(1, -1), k=limit)
        values = torch.cat([values, found[0].cpu()])
        places = torch.cat([places, index[0].cpu() + start * len(references)])
        best = by_similarity(values[None])[0, :limit]  # those of earlier queries first
        values, places = values[best], places[best]
    return Pairs(values.numpy(), *divmod(places.numpy(), len(references)))


def pair_precision(pairs: Pairs, relevance: Sequence[Relevance]) -> float:
    """Micro-averaged precision of ranked pairs; a share (0..1) of all pairs there are to find."""
    wanted = [set(of.positives.tolist()) for of in relevance]
    hits = np.array([r in wanted[q] for q, r in zip(pairs.query, pairs.reference, strict=True)])
    order = np.lexsort((hits, -pairs.similarity))
    return micro_average_precision(hits[order], num_positives=sum(map(len, wanted)))


def copy_rows(copies: Copies, embed: Embed) -> list[Measured]:
    """`muap` over all pairs, `map` and `top1` over all queries that are copies, and by kind."""
    references = embed(copies.references)
    searches, relevance = [], []
    for kind, edits in copies.edits.items():
        search = Search(
            embed(edits), references, {"": copies.truth[kind], kind: copies.truth[kind]}
        )
        searches.append(search)
        relevance += readable(copies.truth[kind], queries=search.queries, gallery=references)
    features = torch.cat([search.queries.features for search in searches])
    pairs = best_pairs(features, references.features, limit=MOST_PAIRS)
    value = pair_precision(pairs, relevance)
    rows = [Measured("muap", value, len(relevance), 0.0)]
    rows += search_rows(searches, scores=SCORES)
    queries = {kind: search.queries for kind, search in zip(copies.edits, searches, strict=True)}
    return rows + unreadable_rows(references=references, **queries)
