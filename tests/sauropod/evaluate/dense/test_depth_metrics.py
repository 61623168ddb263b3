import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    root_mean_squared_error,
)

from sauropod.evaluate.dense.depth_metrics import METRICS, counted, errors, mean_errors


def test_by_hand() -> None:
    found = errors(np.array([2.0, 4.0]), np.array([1.0, 4.0]))
    log = math.log(2)
    expected = {
        "rmse": math.sqrt(1 / 2),
        "abs_rel": 1 / 2,
        "sq_rel": 1 / 2,
        "log10": math.log10(2) / 2,
        "rmse_log": math.sqrt(log**2 / 2),
        "silog": 100 * math.sqrt(log**2 / 2 - (log / 2) ** 2),
        "delta1": 0.5,
        "delta2": 0.5,
        "delta3": 0.5,
    }
    assert tuple(found) == METRICS == tuple(expected)
    assert found == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_properties(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 9, 50).astype(np.float32)
    assert errors(truth, truth) == pytest.approx(
        dict.fromkeys(METRICS, 0.0) | {f"delta{k}": 1.0 for k in (1, 2, 3)}, abs=1e-9
    )
    predicted = rng.uniform(0.5, 9, 50).astype(np.float32)
    found, scaled = errors(predicted, truth), errors(predicted * np.float32(factor), truth)
    assert scaled["silog"] == pytest.approx(found["silog"], rel=1e-4)  # blind to scale
    assert found["delta1"] <= found["delta2"] <= found["delta3"]


@pytest.mark.parametrize("decimals", [0, 6])  # many equal depths, none
def test_equals_scikit_learn_and_plain_formulas(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    truth, predicted = rng.uniform(0.6, 9, (2, 400)).round(decimals)
    found = errors(predicted, truth)
    logs = np.log(predicted) - np.log(truth)
    worse = [max(p / t, t / p) for p, t in zip(predicted, truth, strict=True)]
    expected = {
        "rmse": root_mean_squared_error(truth, predicted),
        "abs_rel": mean_absolute_percentage_error(truth, predicted),
        "sq_rel": sum((p - t) ** 2 / t for p, t in zip(predicted, truth, strict=True)) / 400,
        "log10": mean_absolute_error(np.log10(truth), np.log10(predicted)),
        "rmse_log": root_mean_squared_error(np.log(truth), np.log(predicted)),
        "silog": 100 * np.std(logs),
    } | {f"delta{k}": sum(one < 1.25**k for one in worse) / 400 for k in (1, 2, 3)}
    assert found == pytest.approx(expected, rel=1e-6)


def test_thresholds_are_excluded() -> None:
    assert errors(np.array([1.25]), np.array([1.0]))["delta1"] == 0


def test_what_counts() -> None:
    truth = np.full((480, 640), 5.0, np.float32)
    truth[0, 0], truth[100, 100], truth[101, 101] = 0, 10, 1e-3
    assert counted(truth, max_depth=10, area="whole").sum() == 480 * 640 - 3
    nyu = counted(truth, max_depth=10, area="nyu")
    rows, columns = np.nonzero(nyu)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
    assert nyu.sum() == 426 * 560 - 2
    truth = np.full((352, 1216), 5.0, np.float32)
    for area, frame in (("garg", (143, 349, 43, 1172)), ("eigen", (117, 321, 43, 1172))):
        inside = counted(truth, max_depth=80, area=area)  # type: ignore[arg-type]
        rows, columns = np.nonzero(inside)
        found = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        assert found == (*frame[:3], frame[3])


def test_images_weigh_the_same() -> None:
    one = errors(np.ones(1) * 2, np.ones(1))
    two = errors(np.ones(99), np.ones(99))
    assert mean_errors([one, two])["rmse"] == 0.5
