"""Checkpoints hold a run exactly, keep the newest, and never run out without saying so."""

import contextlib
import errno
import os
from pathlib import Path

import pytest
import torch
from tests.sauropod.train.conftest import small_files
from torch import nn

from sauropod import io
from sauropod.errors import InputError
from sauropod.train import checkpoint, snapshot
from sauropod.train.checkpoint import State

COUNTS = {"skipped": 1.0, "replaced": 0.1}


def make(seed: int) -> State:
    """A small run after two steps: a convolution, buffers, a parameter without gradients."""
    torch.manual_seed(seed)
    model = nn.ModuleDict(
        {
            "conv": nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last),
            "norm": nn.BatchNorm2d(4),
            "idle": nn.Linear(2, 2),
        }
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**seed, growth_interval=2)
    state = State(model=model, optimizer=optimizer, scaler=scaler)
    for _ in range(2):
        step(state)
    return state


def step(state: State) -> None:
    model = state.model
    loss = model["norm"](model["conv"](torch.randn(2, 3, 4, 4))).square().sum()
    state.scaler.scale(loss).backward()
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)


def save(state: State, folder: Path, *steps: int, keep: int = 2) -> None:
    for number in steps:
        state.save(folder, step=number, counts=COUNTS, fingerprint="f", keep=keep)


def same(a: State, b: State) -> None:
    one, two = a._tensors(), b._tensors()
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
    assert a.scaler.state_dict() == b.scaler.state_dict()


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first, other = make(1), make(2)
    save(first, tmp_path, 7)
    assert other.resume(tmp_path, fingerprint="f") == (7, COUNTS)
    same(first, other)
    assert not any(name.startswith("optimizer.idle") for name in other._tensors())
    for state in (first, other):
        torch.manual_seed(0)
        step(state)
    same(first, other)


def test_without_a_checkpoint_a_run_begins(tmp_path: Path) -> None:
    for folder in (None, tmp_path, tmp_path / "missing"):
        start, counts = make(1).resume(folder, fingerprint="f")
        assert (start, set(counts.values())) == (0, {0.0})


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    save(make(1), tmp_path, 1, 2, 3, 10, keep=3)
    assert checkpoint.steps(tmp_path) == [2, 3, 10]
    assert len(list(tmp_path.iterdir())) == 3


def test_what_a_crash_left_is_no_checkpoint(tmp_path: Path) -> None:
    def crash() -> Path:
        left = snapshot.temporary_of(checkpoint.path_of(tmp_path, 9))
        left.mkdir(parents=True)
        (left / "rank-00000.safetensors").write_bytes(b"half")
        return left

    left = crash()
    save(make(1), tmp_path, 1)
    assert not left.exists()
    left = crash()
    assert checkpoint.steps(tmp_path) == [1]
    make(1).resume(tmp_path, fingerprint="f")
    assert not left.exists()


def test_another_run_is_refused(tmp_path: Path) -> None:
    save(make(1), tmp_path, 1)
    with pytest.raises(InputError, match=r"the run g, found one of f.*another checkpoint folder"):
        make(1).resume(tmp_path, fingerprint="g")


def test_another_model_is_refused(tmp_path: Path) -> None:
    state = make(1)
    save(state, tmp_path, 1)
    state.model["conv"] = nn.Conv2d(3, 5, 2)
    with pytest.raises(InputError, match=r"model\.conv\.bias: \(5,\) torch\.float32, found \(4,\)"):
        state.resume(tmp_path, fingerprint="f")


def test_a_broken_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    state = make(1)
    save(state, tmp_path, 3)
    kept = make(2)
    save(kept, tmp_path, 4)
    broken = checkpoint.path_of(tmp_path, 4)
    (file,) = broken.glob("*.safetensors")
    os.truncate(file, 100)
    with pytest.raises(InputError, match=rf"{file}: .* bytes, found 100; .*delete {broken} to go"):
        kept.resume(tmp_path, fingerprint="f")
    snapshot.delete(broken)
    assert kept.resume(tmp_path, fingerprint="f")[0] == 3
    same(state, kept)
    os.truncate(checkpoint.path_of(tmp_path, 3) / snapshot.FACTS, 20)
    with pytest.raises(InputError, match="to start over"):
        kept.resume(tmp_path, fingerprint="f")


@pytest.mark.parametrize("victim", ["tensors", "facts", "beside"])
def test_a_full_disk_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    state = make(1)
    save(state, tmp_path, 1)
    if victim == "facts":
        monkeypatch.setattr(io, "write_json", full)
    refusing = small_files() if victim == "tensors" else contextlib.nullcontext()
    found = "File too large" if victim == "tensors" else "No space left"
    with (
        refusing,
        pytest.raises(InputError, match=f"{tmp_path}: expected room.*{found}.*run again"),
    ):
        state.save(
            tmp_path,
            step=2,
            counts=COUNTS,
            fingerprint="f",
            beside=full if victim == "beside" else None,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert state.resume(tmp_path, fingerprint="f") == (1, COUNTS)


def test_files_beside_belong_to_the_checkpoint(tmp_path: Path) -> None:
    def beside(folder: Path) -> None:
        (folder / "log.txt").write_text("a log")

    state = make(1)
    state.save(tmp_path, step=2, counts=COUNTS, fingerprint="f", beside=beside)
    log = checkpoint.path_of(tmp_path, 2) / "log.txt"
    assert log.read_text() == "a log"
    log.write_text("a lie")
    with pytest.raises(InputError, match=rf"{log}: expected the bytes that were written"):
        state.resume(tmp_path, fingerprint="f")


def test_consolidated_is_the_model(tmp_path: Path) -> None:
    state = make(1)
    save(state, tmp_path, 1)
    found = checkpoint.consolidated(checkpoint.path_of(tmp_path, 1))
    expected = state.model.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
