"""Search benchmarks in general: queries, a gallery, and what each query should find.

Shapes: Q queries, N gallery images, P positives of one query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sauropod.evaluate.measured import Measured
from sauropod.evaluate.photos import Embedded
from sauropod.evaluate.ranking import Relevance, rank_all

Score = Callable[[np.ndarray], float]
"""Of one query (0..1), from the ranks int64 (P,) of its positives."""


@dataclass(frozen=True)
class Search:
    """Queries, what is searched, and by grade what counts as found: one Relevance per query.

    Relevance counts places in the whole lists, with the photos that cannot be read.
    """

    queries: Embedded
    gallery: Embedded
    grades: Mapping[str, Sequence[Relevance]]


def by_group(groups: Sequence[str], *, among: Sequence[str], itself: bool) -> list[Relevance]:
    """Relevance of queries that should find their group.

    Args:
        groups: Names of the queries' groups (Q,).
        among: Names of the gallery's groups (N,).
        itself: Whether query i is gallery image i, which then is junk.
    """
    members: dict[str, list[int]] = {}
    for index, name in enumerate(among):
        members.setdefault(name, []).append(index)
    found = []
    for index, name in enumerate(groups):
        junk = [index] if itself else []
        positives = [i for i in members.get(name, []) if i not in junk]
        found.append(Relevance(np.asarray(positives, np.int64), np.asarray(junk, np.int64)))
    return found


def readable(
    relevance: Sequence[Relevance], *, queries: Embedded, gallery: Embedded
) -> list[Relevance]:
    """Relevance of the queries that can be read, in places among the gallery that can be."""
    place = np.full(gallery.count, -1)
    place[gallery.kept] = np.arange(len(gallery.kept))
    kept = [relevance[i] for i in queries.kept.tolist()]
    return [Relevance(*(place[part][place[part] >= 0] for part in one)) for one in kept]


def search_rows(searches: Sequence[Search], *, scores: Mapping[str, Score]) -> list[Measured]:
    """Search with every query and measure each grade.

    Args:
        searches: The benchmark; a grade of several is averaged over the queries of them all.
        scores: By metric, the score of one query.

    Returns:
        Per grade and metric the mean over the queries that have positives: `<grade>_<metric>`, or
        `<metric>` for the grade without a name.
    """
    ranks: dict[str, list[np.ndarray]] = {}
    for search in searches:
        grades = [
            readable(one, queries=search.queries, gallery=search.gallery)
            for one in search.grades.values()
        ]
        found = rank_all(search.queries.features, search.gallery.features, grades=grades)
        for grade, of_queries in zip(search.grades, found, strict=True):
            ranks.setdefault(grade, []).extend(one for one in of_queries if len(one))
    rows = []
    for grade, counted in ranks.items():
        for metric, score in scores.items():
            value = float(np.mean([score(one) for one in counted])) if counted else float("nan")
            name = f"{grade}_{metric}" if grade else metric
            rows.append(Measured(name, value, len(counted), 0.0))
    return rows
