import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from sauropod.evaluate.knn import knn_probabilities, nearest

GOLDEN = Path(__file__).parents[2] / "golden" / "knn.npz"


def _random(seed: int, *, num: int = 60, width: int = 8, classes: int = 4) -> tuple:
    random = np.random.Generator(np.random.Philox(key=seed))
    features = torch.from_numpy(random.normal(size=(num, width)).astype(np.float32))
    return features, torch.from_numpy(random.integers(0, classes, num))


def test_matches_the_reference() -> None:
    golden = np.load(GOLDEN)
    scores = knn_probabilities(
        torch.from_numpy(golden["train_features"]),
        labels=torch.from_numpy(golden["train_labels"]),
        test=torch.from_numpy(golden["test_features"]),
        num_classes=5,
        ks=(5, 20, 50),
    )
    for k in (5, 20, 50):
        np.testing.assert_allclose(scores[k].numpy(), golden[f"probs_k{k}"], atol=2e-6)


def test_hand_computed() -> None:
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    scores = knn_probabilities(
        train,
        labels=torch.tensor([0, 1, 1]),
        test=torch.tensor([[2.0, 0.0]]),
        num_classes=2,
        ks=(1, 2),
        temperature=1.0,
    )
    # Similarities 1, 0.6 (and 0, beyond k = 2): softmax over the two, then cut to the first.
    first = math.exp(1.0) / (math.exp(1.0) + math.exp(0.6))
    np.testing.assert_allclose(scores[1].numpy(), [[first, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(scores[2].numpy(), [[first, 1 - first]], rtol=1e-6)


def test_agrees_with_scikit_learn() -> None:
    train, labels = _random(1)
    test, _ = _random(2)
    unit, unit_test = (x / x.norm(dim=1, keepdim=True) for x in (train, test))
    oracle = KNeighborsClassifier(
        n_neighbors=7, weights=lambda distance: np.exp((1 - distance**2 / 2) / 0.07)
    )
    expected = oracle.fit(unit.numpy(), labels.numpy()).predict_proba(unit_test.numpy())
    found = knn_probabilities(train, labels=labels, test=test, num_classes=4, ks=(7,))[7]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(
    chunk=st.integers(1, 70),
    block=st.integers(1, 70),
    scale=st.floats(0.1, 10),
    seed=st.integers(0, 99),
)
def test_chunks_order_and_norms_do_not_matter(
    chunk: int, block: int, scale: float, seed: int
) -> None:
    train, labels = _random(seed)
    test, _ = _random(seed + 1000)
    whole = knn_probabilities(train, labels=labels, test=test, num_classes=4, ks=(3, 9))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    other = knn_probabilities(
        train[order] * scale,
        labels=labels[order],
        test=test,
        num_classes=4,
        ks=(3, 9),
        chunk=chunk,
        block=block,
    )
    for k in (3, 9):
        np.testing.assert_allclose(other[k].numpy(), whole[k].numpy(), atol=1e-4)


def test_more_neighbours_than_images_takes_all() -> None:
    train, labels = _random(3, num=6)
    scores = knn_probabilities(train, labels=labels, test=train, num_classes=4, ks=(5, 500))
    np.testing.assert_allclose(scores[500].sum(1).numpy(), np.ones(6), rtol=1e-5)
    assert (scores[5].sum(1) <= 1.0 + 1e-6).all()
    assert scores[5].sum(1).min() == pytest.approx(1.0, abs=0.2)


@settings(max_examples=20, deadline=None)
@given(
    chunk=st.integers(1, 9), block=st.integers(1, 30), k=st.integers(1, 25), seed=st.integers(0, 99)
)
def test_equal_similarities_are_taken_in_order(chunk: int, block: int, k: int, seed: int) -> None:
    random = np.random.Generator(np.random.Philox(key=seed))
    train = torch.from_numpy(random.integers(0, 2, (25, 3)).astype(np.float32))  # few directions
    test = torch.from_numpy(random.integers(0, 2, (11, 3)).astype(np.float32))
    cosines, places = nearest(train, test=test, count=k, block=block, chunk=chunk)
    whole = torch.nn.functional.normalize(test) @ torch.nn.functional.normalize(train).T
    rounded = whole.numpy().round(5)
    expected = np.argsort(-rounded, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(
        np.take_along_axis(rounded, places.numpy(), 1), np.take_along_axis(rounded, expected, 1)
    )
    np.testing.assert_allclose(
        cosines.numpy(), np.take_along_axis(whole.numpy(), expected, 1), atol=1e-6
    )


def test_several_classes_per_image_share_a_vote() -> None:
    train, _ = _random(5, num=9)
    labels = torch.tensor([[1, 0], [1, 1], [0, -1]] * 3, dtype=torch.int8)
    settings = {"test": train, "num_classes": 2, "ks": (4,)}
    both = knn_probabilities(train, labels=labels, **settings)[4]
    one = knn_probabilities(train, labels=(labels[:, 0] == 1).long(), **settings)[4]
    np.testing.assert_allclose(both[:, 0].numpy(), one[:, 1].numpy(), atol=1e-6)


def test_half_precision_is_searched_in_full() -> None:
    train, labels = _random(6)
    half = train.half()
    settings = {"labels": labels, "test": half, "num_classes": 4, "ks": (5,)}
    found = knn_probabilities(half, **settings)[5]
    np.testing.assert_array_equal(found, knn_probabilities(half.float(), **settings)[5])
