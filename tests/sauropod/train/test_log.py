"""Rows of the training log: means, columns of the machine, resuming, the line that is watched."""

from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor

from sauropod.train import log as log_module
from sauropod.train.log import NAME, Log, peak_memory


class Clock:
    """A monotonic clock that is moved by hand."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(log_module, "time", made)
    return made


def _scalars(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_a_row_by_hand(clock: Clock) -> None:
    log = Log(flops_per_image=3e9, peak=1e12)
    log.add(_scalars(loss=3.0, norm=1.0), num_images=64, waited=0.5)
    log.add(_scalars(loss=1.0), num_images=64, waited=0.0)
    clock.now += 2
    log.close_row(20, {"lr": 1e-3})
    (row,) = log.rows
    assert row.pop("peak_memory_gib", 0) > 0
    assert row == {
        "step": 20,
        "images_per_s": 64.0,
        "seconds_per_step": 1.0,
        "wait_share": 0.25,
        "mfu": 64 * 3e9 / 1e12,
        "lr": 1e-3,
        "loss": 2.0,
        "norm": 1.0,
    }


def test_rows_do_not_share_sums_or_time(clock: Clock) -> None:
    log = Log()
    for step, loss in ((1, 5.0), (2, 7.0)):
        log.add(_scalars(loss=loss), num_images=8, waited=0.0)
        clock.now += step
        log.close_row(step, {})
    assert log.frame()["loss"].to_list() == [5, 7]
    assert log.frame()["seconds_per_step"].to_list() == [1, 2]


def test_the_peak_may_be_unknown(clock: Clock, tmp_path: Path) -> None:
    for known in ({}, {"flops_per_image": 1e9}, {"peak": 1e12}):
        log = Log(**known)
        clock.now += 1
        log.close_row(1, {})
        assert log.rows[0]["mfu"] is None
        log.save(tmp_path / NAME)
        assert pl.read_parquet(tmp_path / NAME).schema["mfu"] == pl.Float64


def test_a_skipped_step_leaves_the_mean_of_the_others(clock: Clock) -> None:
    log = Log()
    for loss in (2.0, float("nan"), 4.0, float("inf")):
        log.add(_scalars(loss=loss), num_images=1, waited=0.0)
    clock.now += 1
    log.close_row(4, {})
    log.add(_scalars(loss=float("nan")), num_images=1, waited=0.0)
    clock.now += 1
    log.close_row(5, {})
    assert log.frame()["loss"].to_list() == [3.0, None]


def test_mixed_types_and_gradients_are_taken_as_they_come(clock: Clock) -> None:
    log = Log()
    scalars = {"a": torch.tensor(1.5, dtype=torch.bfloat16), "b": torch.ones(()).requires_grad_()}
    log.add(scalars, num_images=1, waited=0.0)
    clock.now += 1
    log.close_row(1, {})
    assert (log.rows[0]["a"], log.rows[0]["b"]) == (1.5, 1.0)


def test_a_resumed_log_is_one_curve(clock: Clock, tmp_path: Path) -> None:
    log = Log()
    for step in (10, 20, 30):  # 30 was logged after the checkpoint of step 25
        log.add(_scalars(loss=float(step)), num_images=1, waited=0.0)
        clock.now += 1
        log.close_row(step, {"probe/objects": 0.5} if step == 20 else {})
    log.save(tmp_path / NAME)
    again = Log.resumed(tmp_path, step=25)
    again.add(_scalars(loss=31.0), num_images=1, waited=0.0)
    clock.now += 1
    again.close_row(30, {"new": 1.0})
    frame = again.frame()
    assert frame["step"].to_list() == [10, 20, 30]
    assert frame["loss"].to_list() == [10, 20, 31]
    assert frame["probe/objects"].to_list() == [None, 0.5, None]
    assert frame["new"].to_list() == [None, None, 1.0]
    assert Log.resumed(None, step=5).rows == Log.resumed(tmp_path / "none", step=5).rows == []


def test_the_line_says_what_is_known(clock: Clock) -> None:
    log = Log(flops_per_image=4e9, peak=1e12)
    assert log.line() == ""
    log.add(_scalars(loss=3.14159), num_images=100, waited=0.02)
    clock.now += 1
    log.close_row(1, {"lr": 0.00098, "skipped": 0.0})
    assert log.line() == "loss 3.142, lr 0.00098, waiting 2%, MFU 40%"
    clock.now += 1
    log.close_row(2, {"skipped": 3.0})
    assert log.line() == "waiting 0%, MFU 0%, 3 skipped"


def test_peak_memory_is_in_bytes() -> None:
    assert 1 << 24 < peak_memory(torch.device("cpu")) < 1 << 40
