"""Exact cosines of stored vectors: of pairs, and of everything with everything.

A pair's cosine is one function of its two float16 vectors, whichever is the query and whatever
they are computed with: what is sorted by it does not depend on blocks, batches or devices.
Shapes: n stored vectors, q queries, d width, k neighbours, c candidates.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

TILE = (512, 4096)
"""Queries and stored vectors multiplied together: 8 MiB of products."""
PAIRS = 2048
"""Pairs computed together: 4 MiB of gathered numbers where vectors have 512."""
ROUNDING = 1e-4
"""More than matrix products in float32 can be off."""

Neighbours = tuple[np.ndarray, np.ndarray]
"""Ids (q, k) int64 and cosines (q, k) float32, nearest first; -1 and -inf where there are fewer."""


def device() -> torch.device:
    """Where everything is compared with everything: a GPU of this machine if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def inverse_lengths(vectors: np.ndarray) -> np.ndarray:
    """One over the length of each of (n, d) vectors: (n,) float32, 0 of zero vectors."""
    found = np.zeros(len(vectors), np.float32)
    for start in range(0, len(vectors), TILE[1]):
        wide = _wide(vectors[start : start + TILE[1]])
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        part = found[start : start + TILE[1]]
        np.divide(1, lengths, out=part, where=lengths > 0)
    return found


def similarities(queries: np.ndarray, at: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine of every query with each of its candidates.

    Args:
        queries: (q, d) vectors.
        at: (q, c) rows of `vectors`, -1 where there is none.
        vectors: (n, d) float16.

    Returns:
        (q, c) float32 in [-1, 1]; -inf where the candidate is -1.
    """
    found = np.full(at.shape, -np.inf, np.float32)
    if not at.size or not len(vectors):
        return found
    scale, wide = inverse_lengths(queries)[:, None], _wide(queries)
    c = at.shape[1]
    together = max(PAIRS // c, 1)
    for start, first in itertools.product(range(0, len(at), together), range(0, c, PAIRS)):
        asked = slice(start, start + together)
        part = asked, slice(first, first + PAIRS)
        # numpy gathers whole rows, torch number by number: five times as long
        stored = np.take(vectors, at[part], axis=0, mode="clip")
        stored = torch.from_numpy(stored).float().numpy()
        lengths = np.sqrt(np.einsum("qcd,qcd->qc", stored, stored))
        theirs = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        cosines = np.einsum("qcd,qd->qc", stored, wide[asked]) * (scale[asked] * theirs)
        np.copyto(found[part], np.clip(cosines, -1.0, 1.0), where=at[part] >= 0)
    return found


def nearest(
    proposed: np.ndarray, cosines: np.ndarray, *, count: int, but: np.ndarray | None = None
) -> Neighbours:
    """Keep each query's `count` most similar candidates, most similar first, ties by smaller id.

    Args:
        proposed: (q, c) int64 ids, -1 where there is none.
        cosines: (q, c) float32.
        count: neighbours wanted.
        but: (q,) ids never returned for that query (itself).

    Returns:
        Ids (q, k) and cosines (q, k), k = min(count, c).
    """
    cosines = np.where(proposed < 0, -np.inf, cosines)
    if but is not None:
        cosines = np.where(proposed == but.astype(np.int64)[:, None], -np.inf, cosines)
    order = np.lexsort((proposed, -cosines), axis=1)[:, :count]
    best = np.take_along_axis(cosines, order, axis=1)
    ids = np.where(np.isneginf(best), -1, np.take_along_axis(proposed, order, axis=1))
    return ids, best.astype(np.float32)


def joined(left: Neighbours, right: Neighbours, *, count: int) -> Neighbours:
    """The nearest of two lists per query, of different stored vectors."""
    ids, cosines = (np.concatenate(pair, axis=1) for pair in zip(left, right, strict=True))
    return nearest(ids, cosines, count=count)


def nothing(num_queries: int) -> Neighbours:
    """What is found where nothing is searched: (q, 0)."""
    return np.empty((num_queries, 0), np.int64), np.empty((num_queries, 0), np.float32)


def exact_nearest(
    queries: np.ndarray,
    stored: tuple[np.ndarray, np.ndarray],
    *,
    count: int,
    but: np.ndarray | None = None,
    above: float = -np.inf,
) -> Neighbours:
    """The true neighbours, by comparing everything with everything.

    Matrix products only shortlist, with room for their rounding; pairs decide.

    Args:
        queries: (q, d) vectors.
        stored: ids (n,) uint64 and vectors (n, d) float16.
        count: neighbours wanted.
        but: (q,) ids never returned for that query (itself).
        above: cosines up to here need not be found.

    Returns:
        Ids and cosines (q, k), k = at most `count`.
    """
    ids, vectors = stored
    if not len(queries) or not len(ids):
        return nothing(len(queries))
    return _stacked(
        [
            _one_tile(
                queries[start : start + TILE[0]],
                ids.astype(np.int64),
                vectors,
                count=count,
                but=None if but is None else but[start : start + TILE[0]],
                above=above,
            )
            for start in range(0, len(queries), TILE[0])
        ]
    )


def _one_tile(
    queries: np.ndarray,
    ids: np.ndarray,
    vectors: np.ndarray,
    *,
    count: int,
    but: np.ndarray | None,
    above: float,
) -> Neighbours:
    best = nothing(len(queries))
    limits = np.full(len(queries), above, np.float32)
    # A query that finds itself takes one place of the shortlist.
    wanted = count + (but is not None)
    for start, products in _products(queries, vectors):
        near = products >= torch.from_numpy(limits - ROUNDING).to(products.device)[:, None]
        many = (near.sum(dim=1) > wanted).nonzero()[:, 0]
        if len(many):
            floors = products[many].topk(wanted, dim=1).values[:, -1] - ROUNDING
            near[many] = products[many] >= floors[:, None]
        rows, columns = (part.cpu().numpy() for part in near.nonzero().T)
        at = _padded(rows, columns + start, len(queries))
        names = np.where(at < 0, -1, ids[at])
        found = nearest(names, similarities(queries, at, vectors), count=count, but=but)
        best = joined(best, found, count=count)
        if best[0].shape[1] == count:
            limits = np.maximum(limits, best[1][:, -1])
    return best


def _products(queries: np.ndarray, vectors: np.ndarray) -> Iterator[tuple[int, Tensor]]:
    """Cosines of all queries with a tile of the stored vectors, and where the tile starts."""
    place = device()
    left = _normalised(queries).to(place)
    for start in range(0, len(vectors), TILE[1]):
        yield start, left @ _normalised(vectors[start : start + TILE[1]]).to(place).T


def _padded(rows: np.ndarray, values: np.ndarray, num_rows: int) -> np.ndarray:
    """Values by row as a (num_rows, most) array; -1 where a row has fewer. Rows ascend."""
    sizes = np.bincount(rows, minlength=num_rows)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    table = np.full((num_rows, max(int(sizes.max()), 0)), -1, np.int64)
    table[rows, np.arange(len(rows)) - first[rows]] = values
    return table


def _stacked(parts: list[Neighbours]) -> Neighbours:
    """Put the results of different queries under each other."""
    width = max(ids.shape[1] for ids, _ in parts)
    grown = [[(0, 0), (0, width - ids.shape[1])] for ids, _ in parts]
    ids = [np.pad(p[0], pad, constant_values=-1) for p, pad in zip(parts, grown, strict=True)]
    best = [np.pad(p[1], pad, constant_values=-np.inf) for p, pad in zip(parts, grown, strict=True)]
    return np.concatenate(ids), np.concatenate(best)


def recall(found: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Count the true neighbours (q, k) that were found, and all of them; -1 is no neighbour."""
    hits = sum(
        int(np.isin(true[true >= 0], mine).sum()) for true, mine in zip(truth, found, strict=True)
    )
    return hits, int((truth >= 0).sum())


def _wide(vectors: np.ndarray) -> np.ndarray:
    # torch widens float16 several times as fast as numpy
    return torch.tensor(vectors).float().numpy()


def _normalised(vectors: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(vectors).float())
