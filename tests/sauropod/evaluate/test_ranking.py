"""Ranking and its metrics beside independent implementations, on random and on tied scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from sauropod.errors import InputError
from sauropod.evaluate.ranking import (
    Relevance,
    average_precision,
    by_similarity,
    is_found,
    micro_average_precision,
    nearest,
    precision_at,
    rank_all,
    ranks,
    similarities,
    trapezoidal_precision,
    unit,
)


def _random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def _scores(seed: int, shape: tuple[int, ...], *, tied: bool) -> np.ndarray:
    random = _random(seed)
    return random.integers(0, 4, shape) / 4.0 if tied else random.normal(size=shape)


def revisitop(
    order: list[int], ok: set[int], junk: set[int], kappas: tuple[int, ...]
) -> tuple[float, list[float]]:
    """The published protocol, step by step: walk down the list, pass over junk, add trapezoids."""
    area, found, seen, places = 0.0, 0, 0, []
    for image in order:
        if image in junk:
            continue
        if image in ok:
            before = 1.0 if seen == 0 else found / seen
            after = (found + 1) / (seen + 1)
            area += (before + after) / 2 / len(ok)
            found += 1
            places.append(seen + 1)
        seen += 1
    precisions = []
    for kappa in kappas:
        depth = min(max(places), kappa)
        precisions.append(sum(place <= depth for place in places) / depth)
    return area, precisions


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), num=st.integers(3, 60))
def test_revisitop(seed: int, tied: bool, num: int) -> None:
    random = _random(seed)
    scores = _scores(seed, (num,), tied=tied)
    kinds = random.integers(0, 3, num)
    kinds[random.integers(num)] = 1
    relevance = Relevance(np.flatnonzero(kinds == 1), np.flatnonzero(kinds == 2))
    order = sorted(range(num), key=lambda image: (-scores[image], image))
    area, precisions = revisitop(
        order, set(relevance[0].tolist()), set(relevance[1].tolist()), (1, 5, 10)
    )
    mine = by_similarity(torch.from_numpy(scores)[None])[0].numpy()
    assert mine.tolist() == order
    found = ranks(mine, relevance)
    assert trapezoidal_precision(found) == pytest.approx(area, abs=1e-12)
    for k, precision in zip((1, 5, 10), precisions, strict=True):
        assert precision_at(found, k=k) == pytest.approx(precision, abs=1e-12)


def test_by_hand() -> None:
    """Order: junk, wrong, right, junk, right: without junk the right ones are second and third."""
    found = ranks(np.array([4, 0, 2, 3, 1]), Relevance(np.array([1, 2]), np.array([3, 4])))
    assert found.tolist() == [1, 2]
    # Trapezoids: (0/1 + 1/2) / 2 and (1/2 + 2/3) / 2, each half a recall wide.
    assert trapezoidal_precision(found) == pytest.approx((0.25 + 7 / 12) / 2)
    assert average_precision(found) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision(found, within=2) == pytest.approx(1 / 4)
    assert [precision_at(found, k=k) for k in (1, 2, 3, 10)] == pytest.approx(
        [0, 0.5, 2 / 3, 2 / 3]
    )
    assert [is_found(found, k=k) for k in (1, 2)] == [0.0, 1.0]
    assert trapezoidal_precision(np.array([0, 1])) == 1.0


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_average_precision_is_scikit_learns(seed: int) -> None:
    scores, random = _scores(seed, (50,), tied=False), _random(seed + 1)
    hits = random.random(50) < 0.3
    hits[3] = True
    expected = average_precision_score(hits, scores)
    order = np.argsort(-scores, kind="stable")
    found = ranks(order, Relevance(np.flatnonzero(hits), np.empty(0, np.int64)))
    assert average_precision(found) == pytest.approx(expected, abs=1e-12)
    micro = micro_average_precision(hits[order], num_positives=int(hits.sum()))
    assert micro == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), k=st.integers(1, 40))
def test_nearest_is_the_head_of_the_whole_order(seed: int, tied: bool, k: int) -> None:
    similarity = torch.from_numpy(_scores(seed, (5, 30), tied=tied))
    values, index = nearest(similarity, k=k)
    assert torch.equal(index, by_similarity(similarity)[:, :k])
    assert torch.equal(values, similarity.gather(1, index))


@settings(max_examples=10)
@given(chunk=st.integers(1, 9), seed=st.integers(0, 99))
def test_chunks_do_not_matter(chunk: int, seed: int) -> None:
    random = _random(seed)
    queries, gallery = (
        unit(torch.from_numpy(random.normal(size=(n, 6))), what="x") for n in (8, 20)
    )
    grade = [Relevance(random.permutation(20)[:4], np.empty(0, np.int64)) for _ in range(8)]
    whole = rank_all(queries, gallery, grades=[grade, grade[::-1]], chunk=8)
    parts = rank_all(queries, gallery, grades=[grade, grade[::-1]], chunk=chunk)
    for one, other in zip(whole[0] + whole[1], parts[0] + parts[1], strict=True):
        np.testing.assert_array_equal(one, other)
    starts = [start for start, _ in similarities(queries, gallery, chunk=chunk)]
    assert starts == list(range(0, 8, chunk))


@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_names_and_scale_do_not_matter(seed: int) -> None:
    """Rotating or scaling features moves no rank; renumbering the gallery neither, without ties."""
    random = _random(seed)
    queries, gallery = (torch.from_numpy(random.normal(size=(n, 6))) for n in (4, 15))
    grade = [Relevance(random.permutation(15)[:3], np.empty(0, np.int64)) for _ in range(4)]
    expected = rank_all(unit(queries, what="q"), unit(gallery, what="g"), grades=[grade])
    order = random.permutation(15)
    turned = torch.from_numpy(np.linalg.qr(random.normal(size=(6, 6)))[0])
    place = np.argsort(order)
    renamed = [Relevance(place[one.positives], one.junk) for one in grade]
    found = rank_all(
        unit(3 * queries @ turned, what="q"),
        unit(0.1 * gallery[order] @ turned, what="g"),
        grades=[renamed],
    )
    for one, other in zip(expected[0], found[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_features_that_are_not_finite_are_named() -> None:
    features = torch.ones(3, 2)
    features[1, 0] = torch.nan
    with pytest.raises(InputError, match="1 of 3 images"):
        unit(features, what="queries")
