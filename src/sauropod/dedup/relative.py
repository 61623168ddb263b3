"""The verdict on every image of the pool: kept, a copy, or an overlap with a benchmark.

Two passes over the edges (DINOv2 section 3 and appendix A). Self: components of edges above 0.6
keep one representative each. Relative: among the representatives, what hangs together with a
reference image by edges above 0.45 is dropped, the whole component or the direct neighbours only.

Images are numbers 0..n-1 of the pool, references n..n+r-1 in the order of their ids. Memory is at
most 24 bytes an image (two forests, the evidence, masks), a chunk of edges, and a part of the
IMAGES rows of members of components, whatever the number of edges. Shapes: m edges of a chunk.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from sauropod.dedup.components import Components, size_histogram, sizes
from sauropod.dedup.nearest import Nearest
from sauropod.dedup.pool import Pool
from sauropod.dedup.representatives import Representatives
from sauropod.dedup.size_guard import SizeGuard
from sauropod.errors import InputError
from sauropod.schema import COPIES, REASONS

UNIQUE, REPRESENTATIVE, COPY, EVAL_OVERLAP = range(4)
"""Positions in schema.REASONS."""
NOT_USABLE = 255
ROWS = 1 << 20
"""Rows of a frame of COPIES."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds on exact cosine (strictly above) and the reading of overlap."""

    copy_threshold: float
    overlap_threshold: float
    overlap: Literal["component", "direct"]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What was decided on each number of a pool."""

    pool: Pool
    references: np.ndarray
    """Ids, uint64 ascending; evidence n + i is reference i."""
    component: np.ndarray
    """(n,) smallest number of the component."""
    reason: np.ndarray
    """(n,) uint8: position in REASONS, or NOT_USABLE."""
    nearest: Nearest
    """Evidence: of a copy its nearest neighbour above the copy threshold (or the image of equal
    hash), of an overlap its nearest reference, or when only the component touches one, the
    smallest reference of the component."""
    num_hashed: int
    """Copies by hash."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """COPIES rows of every usable image by ascending id, in frames of at most ROWS rows."""
        for start in range(0, max(len(self.pool), 1), ROWS):
            yield self._frame(
                start + np.flatnonzero(self.reason[start : start + ROWS] < NOT_USABLE)
            )

    def funnel(self) -> tuple[int, dict[str, int]]:
        """Count the images kept, and those dropped by reason, hash duplicates on their own."""
        counts = np.bincount(self.reason, minlength=len(REASONS)).tolist()
        reasons = {
            "hash_duplicate": self.num_hashed,
            "copy": counts[COPY] - self.num_hashed,
            "eval_overlap": counts[EVAL_OVERLAP],
        }
        return counts[UNIQUE] + counts[REPRESENTATIVE], reasons

    def _frame(self, rows: np.ndarray) -> pl.DataFrame:
        reason, evidence = self.reason[rows], self.nearest.number[rows]
        similarity = pl.Series(self.nearest.similarity[rows])
        dropped = pl.Series(reason >= COPY)
        ids = np.zeros(len(rows), np.uint64)
        inside = evidence < len(self.pool)
        ids[inside] = self.pool.ids(evidence[inside])
        outside = (reason >= COPY) & ~inside
        ids[outside] = self.references[evidence[outside] - len(self.pool)]
        columns = {
            "image_id": self.pool.ids(rows),
            "component": self.pool.ids(self.component[rows]),
            "kept": reason < COPY,
            "reason": pl.Series(np.array(REASONS, object)[reason], dtype=pl.String),
            "evidence_id": pl.select(pl.when(dropped).then(pl.Series(ids))).to_series(),
            "similarity": pl.select(
                pl.when(similarity.is_finite() & dropped).then(similarity)
            ).to_series(),
        }
        return pl.DataFrame(columns, schema_overrides=dict(COPIES.columns))


def verdicts(
    pool: Pool,
    duplicates: pl.DataFrame,
    edges: Iterable[pl.DataFrame],
    references: np.ndarray,
    rules: Rules,
    *,
    images: Representatives,
    guard: SizeGuard,
) -> Verdicts:
    """Decide on every image of the pool.

    Args:
        pool: The images.
        duplicates: DUPLICATES rows; both ids are in the pool.
        edges: EDGES in chunks; iterated twice. Edges to ids that are in neither the pool nor the
            references are passed over.
        references: Ids (uint64) the pool is decontaminated against, ascending.
        rules: Thresholds and reading.
        images: The pool's, to choose among those of a component.
        guard: Is shown the sizes of the components of either pass.

    Raises:
        InputError: a giant component, or the duplicates are of another pool.
    """
    hashed, owners = (pool.numbers(duplicates[name].to_numpy()) for name in duplicates.columns)
    if (hashed < 0).any() or (owners < 0).any():
        fix = "give the duplicates and the images of the same run"
        where, expected = "--duplicates", "usable images of the pool"
        raise InputError(where, expected=expected, found="ids of other images", fix=fix)
    alive = pool.usable.copy()
    alive[hashed] = False
    reason = np.where(pool.usable, np.uint8(UNIQUE), np.uint8(NOT_USABLE))
    nearest = Nearest(len(pool) + len(references), images=len(pool))
    component = _self(pool, alive, edges, rules, nearest, reason, images, guard)
    chosen = alive & (reason != COPY)
    nearest.forget(chosen)
    overlap = _overlaps(pool, chosen, references, edges, rules, nearest, guard)
    reason[owners[reason[owners] == UNIQUE]] = REPRESENTATIVE
    reason[overlap] = EVAL_OVERLAP
    reason[hashed] = COPY
    component[hashed] = component[owners]
    nearest.number[hashed] = owners
    return Verdicts(
        pool=pool,
        references=references,
        component=component,
        reason=reason,
        nearest=nearest,
        num_hashed=len(hashed),
    )


def _self(
    pool: Pool,
    alive: np.ndarray,
    edges: Iterable[pl.DataFrame],
    rules: Rules,
    nearest: Nearest,
    reason: np.ndarray,
    images: Representatives,
    guard: SizeGuard,
) -> np.ndarray:
    """Components of the images alive; marks copies and representatives, keeps the evidence."""
    forest = Components(len(pool))
    for chunk in edges:
        left, right, similarity = _above(chunk, rules.copy_threshold)
        left, right = pool.numbers(left), pool.numbers(right)
        both = (left >= 0) & (right >= 0) & (left != right)
        both[both] = alive[left[both]] & alive[right[both]]
        left, right, similarity = left[both], right[both], similarity[both]
        forest.add(left, right)
        nearest.add(left, right, similarity)
        nearest.add(right, left, similarity)
    labels = forest.labels()
    counts = sizes(labels, among=alive)
    guard.check(size_histogram(counts), threshold=rules.copy_threshold)
    members = alive & ((counts > 1)[labels])
    del counts
    reason[members] = COPY

    def component_of(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers = pool.numbers(ids)
        inside = (numbers >= 0) & members[numbers]
        return inside, labels[numbers[inside]]

    for rows in images.choose(component_of, num_members=int(members.sum())):
        reason[pool.numbers(rows["representative"].unique().to_numpy())] = REPRESENTATIVE
    return labels


def _overlaps(
    pool: Pool,
    chosen: np.ndarray,
    references: np.ndarray,
    edges: Iterable[pl.DataFrame],
    rules: Rules,
    nearest: Nearest,
    guard: SizeGuard,
) -> np.ndarray:
    """Which images of those chosen overlap a reference, (n,) bool; keeps the evidence."""
    if not len(references):
        return np.zeros(len(pool), bool)
    size = len(pool)
    forest = Components(size + len(references) if rules.overlap == "component" else 0)
    for chunk in edges:
        left, right, similarity = _above(chunk, rules.overlap_threshold)
        left, right = (_place(ids, pool, chosen, references) for ids in (left, right))
        both = (left >= 0) & (right >= 0)
        left, right, similarity = left[both], right[both], similarity[both]
        image, other = np.minimum(left, right), np.maximum(left, right)
        across = (image < size) & (other >= size)
        nearest.add(image[across], other[across], similarity[across])
        if rules.overlap == "component":
            joined = image < size
            forest.add(image[joined], other[joined])
    direct = chosen & nearest.found
    if rules.overlap == "direct":
        return direct
    labels = forest.labels()
    counts = sizes(labels[:size], among=chosen)
    guard.check(size_histogram(counts), threshold=rules.overlap_threshold)
    # References are in order, so the first of a component is its smallest.
    roots, first = np.unique(labels[size:], return_index=True)
    touched = np.zeros(len(labels), bool)
    touched[roots] = True
    overlap = chosen & touched[labels[:size]]
    distant = np.flatnonzero(overlap & ~direct)
    nearest.number[distant] = size + first[np.searchsorted(roots, labels[distant])]
    return overlap


def _above(chunk: pl.DataFrame, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ids (m,) uint64 and similarity (m,) float32 of the edges above a threshold."""
    near = chunk.filter(pl.col("similarity") > threshold)
    left, right = near["image_id"].to_numpy(), near["neighbour_id"].to_numpy()
    return left, right, near["similarity"].to_numpy()


def _place(ids: np.ndarray, pool: Pool, chosen: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Numbers (m,) of chosen images, n + i of references, -1 of all others."""
    numbers = pool.numbers(ids)
    inside = np.flatnonzero(numbers >= 0)
    numbers[inside[~chosen[numbers[inside]]]] = -1
    if len(references):
        at = np.minimum(np.searchsorted(references, ids), len(references) - 1)
        is_reference = references[at] == ids
        numbers[is_reference] = len(pool) + at[is_reference]
    return numbers
