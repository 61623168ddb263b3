import math

import numpy as np
import pytest
import torch

from sauropod.evaluate.photos import Embedded
from sauropod.evaluate.ranking import average_precision
from sauropod.evaluate.search import Search, by_group, readable, search_rows


def _line(*angles: float) -> torch.Tensor:
    turns = torch.tensor(angles).deg2rad()
    return torch.stack([turns.cos(), turns.sin()], dim=1)


def _whole(features: torch.Tensor) -> Embedded:
    return Embedded(features, np.arange(len(features)), len(features))


def test_by_group() -> None:
    apart = by_group(["a", "b", "c"], among=["b", "a", "b"], itself=False)
    assert [one.positives.tolist() for one in apart] == [[1], [0, 2], []]
    assert [one.junk.tolist() for one in apart] == [[], [], []]
    among = by_group(["a", "b", "a"], among=["a", "b", "a", ""], itself=True)
    assert [one.positives.tolist() for one in among] == [[2], [], [0]]
    assert [one.junk.tolist() for one in among] == [[0], [1], [2]]


def test_by_hand() -> None:
    """Each query sees the gallery by angle; query 2 is of a group that is not there."""
    gallery = _whole(_line(0, 10, 20, 30))
    queries = _whole(_line(1, 29, 15))
    truth = by_group(["a", "a", "c"], among=["a", "b", "b", "a"], itself=False)
    (row,) = search_rows([Search(queries, gallery, {"": truth})], scores={"map": average_precision})
    assert (row.metric, row.num_samples) == ("map", 2)
    assert row.value == pytest.approx((1 + 2 / 4) / 2)  # both: first and last place
    lonely = [one._replace(positives=one.positives[:0]) for one in truth]
    (row,) = search_rows(
        [Search(queries, gallery, {"g": lonely})], scores={"map": average_precision}
    )
    assert row.metric == "g_map"
    assert row.num_samples == 0
    assert math.isnan(row.value)


def test_a_grade_of_two_searches_is_averaged_over_their_queries() -> None:
    gallery = _whole(_line(0, 50))
    near = by_group(["a"], among=["a", "b"], itself=False)
    far = by_group(["b", "b"], among=["a", "b"], itself=False)
    searches = [
        Search(_whole(_line(0)), gallery, {"": near, "near": near}),
        Search(_whole(_line(0, 10)), gallery, {"": far, "far": far}),
    ]
    rows = search_rows(searches, scores={"map": average_precision})
    found = {row.metric: (row.value, row.num_samples) for row in rows}
    assert found == {"map": (pytest.approx(2 / 3), 3), "near_map": (1.0, 1), "far_map": (0.5, 2)}


def test_photos_that_cannot_be_read_leave_every_list() -> None:
    truth = by_group(["a", "b", "a"], among=["a", "b", "a", "b"], itself=False)
    queries = Embedded(_line(0, 1), np.array([0, 2]), 3)
    gallery = Embedded(_line(0, 1, 2), np.array([1, 2, 3]), 4)
    found = readable(truth, queries=queries, gallery=gallery)
    assert [one.positives.tolist() for one in found] == [[1], [1]]
