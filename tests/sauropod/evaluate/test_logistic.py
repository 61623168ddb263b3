"""Logistic regression against scikit-learn, and the choice of its penalty."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sauropod.evaluate import logistic
from sauropod.evaluate.scores import accuracy


def _data(seed: int = 0, count: int = 120, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, width, generator=generator)
    noise = torch.randn(count, generator=generator)
    labels = ((features[:, 0] + features[:, 1] + noise) * 1.3).round().clamp(-1, 1).long() + 1
    return features, labels


@pytest.mark.parametrize("strength", [1e-3, 1.0, 100.0])
def test_it_is_scikit_learns(strength: float) -> None:
    features, labels = _data()
    found = logistic.fit(features, targets=labels, num_classes=3, strength=strength)
    oracle = LogisticRegression(C=strength, tol=1e-12, max_iter=10_000)
    oracle.fit(features.double().numpy(), labels.numpy())
    np.testing.assert_allclose(found.weight.numpy(), oracle.coef_, atol=2e-5)
    bias = found.bias - found.bias.mean()  # softmax leaves a shift free
    np.testing.assert_allclose(
        bias.numpy(), oracle.intercept_ - oracle.intercept_.mean(), atol=2e-5
    )
    probabilities = found.scores(features).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, oracle.predict_proba(features.numpy()), atol=1e-5)


def test_several_classes_per_image_are_scikit_learns_one_by_one() -> None:
    features, labels = _data()
    targets = torch.stack([labels == 0, labels > 0], dim=1)
    found = logistic.fit(features, targets=targets, num_classes=2, strength=0.5)
    for column in range(2):
        oracle = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000)
        oracle.fit(features.double().numpy(), targets[:, column].numpy())
        np.testing.assert_allclose(found.weight[column].numpy(), oracle.coef_[0], atol=1e-5)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = _data()
    whole = logistic.fit(features, targets=labels, num_classes=3, strength=1.0)
    monkeypatch.setattr(logistic, "CHUNK", 17)
    parts = logistic.fit(features, targets=labels, num_classes=3, strength=1.0)
    np.testing.assert_allclose(parts.weight.numpy(), whole.weight.numpy(), atol=1e-7)


def test_the_penalty_is_chosen_on_held_out_images_and_the_fit_uses_all() -> None:
    features, labels = _data(count=200)
    grid = logistic.strengths(low=-4, high=2, count=4)
    assert grid == pytest.approx([1e-4, 1e-2, 1.0, 100.0])
    seen = []

    def worth(scores: torch.Tensor, known: torch.Tensor) -> float:
        seen.append(len(known))
        return accuracy(scores, known)

    settings = {"targets": labels, "num_classes": 3}
    found, strength = logistic.search(
        features, grid=grid, worth=worth, share=0.1, seed=3, **settings
    )
    assert seen == [20] * 4
    again = logistic.fit(features, strength=strength, **settings)
    assert torch.equal(found.weight, again.weight)


def test_held_out_images_are_a_draw_without_overlap() -> None:
    fitting, tuning = logistic.held_out(50, share=0.1, seed=1)
    assert len(tuning) == 5
    assert sorted([*fitting.tolist(), *tuning.tolist()]) == list(range(50))
