import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from sauropod.evaluate.dense.miou import IGNORED, agreement, confusion


def test_by_hand() -> None:
    labels = np.array([[0, 0, 1, 1], [2, 2, IGNORED, IGNORED]])
    predicted = np.array([[0, 1, 1, 1], [2, 0, 3, 0]])
    found = agreement(confusion(predicted, labels, num_classes=5))
    # Class 0: 1 of {2 true, 2 predicted}; 1: 2 of {2, 3}; 2: 1 of {2, 1}; 3 and 4 do not appear.
    assert found.iou[:3].tolist() == [1 / 3, 2 / 3, 1 / 2]
    assert np.isnan(found.iou[3:]).all()
    assert found.miou == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert found.mean_accuracy == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert found.pixel_accuracy == 4 / 6


def test_a_class_predicted_but_absent_counts_zero() -> None:
    found = agreement(confusion(np.array([0, 1]), np.array([0, 0]), num_classes=3))
    assert found.iou[:2].tolist() == [0.5, 0.0]
    assert found.miou == 0.25
    assert found.mean_accuracy == 0.5  # no recall where there is no truth


def test_nothing_counted_is_not_a_number() -> None:
    found = agreement(np.zeros((3, 3), int))
    assert all(math.isnan(value) for value in found[:3])


def _mmseg(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> float:
    """Histograms of the intersection, prediction and truth over pixels that are not ignored."""
    kept = labels != IGNORED
    p, t = predicted[kept], labels[kept]
    hits = np.histogram(p[p == t], bins=num_classes, range=(-0.5, num_classes - 0.5))[0]
    area = [np.histogram(v, bins=num_classes, range=(-0.5, num_classes - 0.5))[0] for v in (p, t)]
    with np.errstate(invalid="ignore"):
        return float(np.nanmean(hits / (area[0] + area[1] - hits)))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_equals_mmsegmentation_and_scikit_learn(seed: int, num_classes: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, num_classes, (2, 12, 9))
    labels = np.where(rng.random((2, 12, 9)) < 0.2, IGNORED, rng.integers(0, 2, (2, 12, 9)))
    labels[0, 0, 0] = 0
    parts = [
        confusion(p, t, num_classes=num_classes) for p, t in zip(predicted, labels, strict=True)
    ]
    matrix = sum(parts, start=np.zeros((num_classes, num_classes), int))
    kept = labels != IGNORED
    names = list(range(num_classes))
    assert (matrix == confusion_matrix(labels[kept], predicted[kept], labels=names)).all()
    found = agreement(matrix)
    assert found.miou == pytest.approx(_mmseg(predicted, labels, num_classes))
    seen = sorted({*labels[kept].tolist(), *predicted[kept].tolist()})
    scores = jaccard_score(labels[kept], predicted[kept], labels=seen, average=None)
    assert np.allclose(found.iou[seen], scores)
