"""Advice out of a log: silent when healthy, plain when not, never on too little."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.train.diagnosis import MAX_WAIT, MIN_ROWS, REMEDY, ROWS, diagnose

HEALTHY = {
    "loss": 7.0,
    "wait_share": 0.01,
    "skipped": 0.0,
    "health/prototype_entropy": 0.6,
    "health/assignment_entropy": 0.3,
    "health/dead_prototypes": 0.1,
    "health/feature_rank": 40.0,
    "health/cls_std": 0.7,
    "health/patch_std": 0.5,
}


def _rows(count: int = 30, **changed: float | None) -> list[dict[str, float | None]]:
    values = HEALTHY | {name.replace("__", "/"): value for name, value in changed.items()}
    return [{"step": 10.0 * (i + 1), **values} for i in range(count)]


def test_a_healthy_run_is_silent() -> None:
    assert diagnose(_rows()) == []
    assert diagnose([]) == []
    assert diagnose([{"step": 10.0}] * 20) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("prototype_entropy", 0.02, "entropy 0.02 of 1"),
        ("assignment_entropy", 0.599, "assigns every image alike"),
        ("dead_prototypes", 0.97, "97% of the prototypes"),
        ("feature_rank", 1.2, "span 1.2 directions"),
        ("cls_std", 0.01, "class tokens of a batch are nearly equal"),
        ("patch_std", 0.01, "patch tokens of an image are nearly equal"),
    ],
)
def test_a_symptom_is_named_with_the_remedy(name: str, value: float, words: str) -> None:
    symptom, remedy = diagnose(_rows(**{f"health__{name}": value}))
    assert words in symptom
    assert remedy == REMEDY


def test_the_remedy_is_given_once() -> None:
    found = diagnose(_rows(health__feature_rank=1.0, health__cls_std=0.0))
    assert found.count(REMEDY) == 1
    assert len(found) == 3


def test_waiting_and_skipping_have_their_own_advice() -> None:
    (words,) = diagnose(_rows(wait_share=0.22))
    assert "22% of the time" in words
    assert "--num-workers" in words
    (words,) = diagnose(_rows(skipped=12.0))
    assert "12 of 300 steps" in words
    assert diagnose(_rows(skipped=3.0)) == []  # 1 % of 300


def test_only_the_end_counts_and_only_its_median() -> None:
    bad, good = _rows(20, health__feature_rank=1.0), _rows(ROWS)
    assert diagnose(bad + good) == []
    assert diagnose(bad + good[: ROWS // 2 - 1]) != []
    assert diagnose(_rows(MIN_ROWS - 1, wait_share=1.0)) == []


def test_missing_values_are_passed_over() -> None:
    rows = _rows()
    for row in rows[::2]:
        row["health/feature_rank"] = None
        del row["health/cls_std"]
    assert diagnose(rows) == []


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1))
def test_waiting_is_named_above_the_threshold_only(share: float) -> None:
    assert bool(diagnose(_rows(wait_share=share))) == (share > MAX_WAIT)
