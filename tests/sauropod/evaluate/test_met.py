"""The Met's classifier and measures beside a plain transcription of what the paper describes."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from sauropod.errors import InputError
from sauropod.evaluate.met import (
    DISTRACTOR,
    Answers,
    classify,
    gap,
    met_rows,
    neighbours_of,
    read_met,
    tuned,
)

KS, SHARPNESS = (1, 3, 7), (0.1, 10.0, 500.0)


def _random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def _unit(values: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(values).float(), dim=1)


def _classifier(similarity: np.ndarray, labels: np.ndarray, k: int, t: float) -> tuple[int, float]:
    """One query: the nearest photo of each exhibit among the k; a softmax over all exhibits."""
    near = sorted(range(len(labels)), key=lambda i: (-similarity[i], i))[:k]
    nearest: dict[int, float] = {}
    for i in near:
        label = int(labels[i])
        nearest[label] = max(nearest.get(label, 0.0), float(similarity[i]))
    total = sum(math.exp(t * score) for score in nearest.values())
    total += len(set(labels.tolist())) - len(nearest)
    answer = min(nearest, key=lambda label: (-nearest[label], label))
    return answer, math.exp(t * nearest[answer]) / total


@given(
    seed=st.integers(0, 999),
    k=st.sampled_from(KS),
    t=st.sampled_from(SHARPNESS),
    tied=st.booleans(),
)
def test_classify(seed: int, k: int, t: float, tied: bool) -> None:
    random = _random(seed)
    values = (
        random.integers(-1, 2, (26, 2)).astype(float) + 1e-3
        if tied
        else random.normal(size=(26, 3))
    )
    queries, database = _unit(values[:6]), _unit(values[6:])
    labels = random.integers(0, 6, 20)
    near = neighbours_of(queries, database, labels=labels, k=k)
    answers = classify(near, k=k, sharpness=t, num_exhibits=len(np.unique(labels)))
    for query, similarity in enumerate((queries @ database.T).double().numpy()):
        label, confidence = _classifier(similarity, labels, k, t)
        assert answers.labels[query] == label
        assert answers.confidences[query] == pytest.approx(confidence, rel=1e-9)


@given(seed=st.integers(0, 999))
def test_gap(seed: int) -> None:
    random = _random(seed)
    truth = np.where(random.random(30) < 0.3, DISTRACTOR, random.integers(0, 3, 30))
    truth[0] = 1
    answers = Answers(random.integers(0, 3, 30), random.random(30))
    answers.labels[0] = 1
    hits = answers.labels == truth
    # scikit-learn divides by the hits there are, GAP by the queries that show something.
    expected = average_precision_score(hits, answers.confidences) * hits.sum() / (truth >= 0).sum()
    assert gap(answers, truth) == pytest.approx(expected, abs=1e-12)


def test_gap_by_hand() -> None:
    """By confidence: right, a distractor, wrong, right; among equals by place."""
    truth = np.array([4, DISTRACTOR, 5, 6])
    answers = Answers(np.array([4, 4, 4, 6]), np.array([0.9, 0.8, 0.5, 0.5]))
    assert gap(answers, truth) == pytest.approx((1 / 1 + 2 / 4) / 3)


def test_tuned_takes_the_first_of_the_best() -> None:
    random = _random(1)
    labels = random.integers(0, 4, 30)
    near = neighbours_of(
        _unit(random.normal(size=(9, 4))), _unit(random.normal(size=(30, 4))), labels=labels, k=7
    )
    truth = random.integers(-1, 4, 9)
    grid = [(k, t) for k in KS for t in SHARPNESS]
    scores = [gap(classify(near, k=k, sharpness=t, num_exhibits=4), truth) for k, t in grid]
    assert tuned(near, truth, grid=grid, num_exhibits=4) == grid[scores.index(max(scores))]


def _write(root: Path, touch: Callable, *, mini: bool = False) -> Path:
    lists = {
        "mini_MET_database" if mini else "MET_database": [
            {"id": 10 + i // 2, "path": f"MET/{10 + i // 2}/{i}.jpg"} for i in range(6)
        ],
        "valset": [{"MET_id": 10, "path": "test_met/v0.jpg"}, {"path": "test_noart/v1.jpg"}],
        "testset": [
            {"MET_id": 10, "path": "test_met/t0.jpg"},
            {"MET_id": 12, "path": "test_met/t1.jpg"},
            {"path": "test_other/t2.jpg"},
        ],
    }
    (root / "ground_truth").mkdir(parents=True)
    for name, entries in lists.items():
        (root / "ground_truth" / f"{name}.json").write_text(json.dumps(entries))
        touch(root / "images", *(entry["path"] for entry in entries))
    return root


@pytest.mark.parametrize("mini", [False, True])
def test_the_whole_protocol(
    tmp_path: Path, touch: Callable, embed_by: Callable, mini: bool
) -> None:
    root = _write(tmp_path, touch, mini=mini)
    axes = np.eye(4)
    features = {f"{i}.jpg": axes[i // 2] for i in range(6)}
    features |= {"v0.jpg": axes[0], "v1.jpg": axes[3], "t0.jpg": axes[0]}
    features |= {"t1.jpg": axes[1] + 0.5 * axes[2], "t2.jpg": axes[2] + 0.1 * axes[3]}
    rows = {
        row.metric: row for row in met_rows(root, embed_by(features), ks=KS, sharpness=SHARPNESS)
    }
    # t0 right and surest, the distractor t2 next, t1 wrong.
    assert rows["gap"].value == pytest.approx(1 / 2)
    assert rows["gap_minus"].value == pytest.approx(1 / 2)
    assert rows["acc"].value == pytest.approx(1 / 2)
    assert (rows["gap"].num_samples, rows["acc"].num_samples) == (3, 2)
    assert (rows["best_k"].value, rows["best_sharpness"].value) == (1, 0.1)
    assert rows["unreadable_test"].value == 0
    assert rows["unreadable_database"].num_samples == 6


def test_bad_lists_are_one_sentence(tmp_path: Path, touch: Callable) -> None:
    root = _write(tmp_path / "met", touch)
    test = root / "ground_truth" / "testset.json"
    for text, words in (
        ('[{"path": "test_met/t9.jpg"}]', "1 missing"),
        ('[{"MET_id": "x", "path": "a.jpg"}]', "ValueError"),
        ('[{"MET_id": 3}]', "KeyError"),
        ("[1]", "TypeError"),
        ("3", "TypeError"),
        ("[]", "found none"),
        ("{", "JSONDecodeError"),
    ):
        test.write_text(text)
        with pytest.raises(InputError, match=words):
            read_met(root)
    test.unlink()
    with pytest.raises(InputError, match=r"testset.json: .*no such file"):
        read_met(root)
