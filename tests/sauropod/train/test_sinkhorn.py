"""Sinkhorn-Knopp and centering: golden numbers, the textbook form, two ranks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sauropod.models.head import Scores
from sauropod.train.assignments import Assignments
from sauropod.train.sinkhorn import Center, sinkhorn_knopp

Golden = Callable[[str], dict[str, Tensor]]


def scores_of(logits: Tensor) -> Scores:
    """Scores whose product is `logits`."""
    return Scores(logits, torch.eye(logits.shape[1], dtype=logits.dtype))


def balanced(logits: Tensor, *, temperature: float, **how: object) -> Tensor:
    """The whole matrix of targets."""
    scores = scores_of(logits)
    bias = sinkhorn_knopp(scores, temperature=temperature, **how)
    return Assignments(scores, bias, temperature).probabilities()


def centred(center: Center, logits: Tensor, *, temperature: float, **how: object) -> Tensor:
    """The whole matrix of targets; moves the centre."""
    scores = scores_of(logits)
    bias = center(scores, temperature=temperature, **how)
    return Assignments(scores, bias, temperature).probabilities()


def textbook(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """The paper's loop on the whole matrix, in float64 so that nothing over- or underflows."""
    q = torch.exp(logits.double() / temperature).t()  # (K, B)
    num_prototypes, num_rows = q.shape
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(dim=1, keepdim=True) * num_prototypes
        q /= q.sum(dim=0, keepdim=True) * num_rows
    return (q * num_rows).t().float()


def test_matches_the_reference(golden: Golden) -> None:
    g = golden("losses")
    for temperature in (0.04, 0.07):
        found = balanced(g["dino/teacher_logits"], temperature=temperature)
        expected = g[f"dino/sinkhorn_t{temperature}"]
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    found = balanced(g["ibot/teacher_logits"], temperature=0.07)
    torch.testing.assert_close(found, g["ibot/sinkhorn_t0.07"], atol=2e-5, rtol=0)


def test_by_hand() -> None:
    # exp -> [[1, 3], [1, 1]]. Prototype sums 2, 4 -> [[1/2, 3/4], [1/2, 1/4]] (times 1/2);
    # row sums 5/4, 3/4 -> [[2/5, 3/5], [2/3, 1/3]].
    logits = torch.tensor([[1.0, 3.0], [1.0, 1.0]]).log()
    found = balanced(logits, temperature=1.0, num_iterations=1)
    torch.testing.assert_close(found, torch.tensor([[2 / 5, 3 / 5], [2 / 3, 1 / 3]]))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 9),
    prototypes=st.integers(1, 9),
    spread=st.floats(0.01, 3),
    seed=st.integers(0, 99),
    at_once=st.integers(0, 3),
)
def test_rows_sum_to_one_and_agree_with_the_textbook(
    rows: int, prototypes: int, spread: float, seed: int, at_once: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(rows, prototypes, generator=generator)
    found = balanced(logits, temperature=0.5, max_bytes=4 * at_once * prototypes)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(rows))
    torch.testing.assert_close(found, textbook(logits, 0.5), atol=1e-5, rtol=1e-4)


def test_many_iterations_use_prototypes_equally() -> None:
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    found = balanced(logits, temperature=0.5, num_iterations=50)
    torch.testing.assert_close(found.sum(dim=0), torch.full((4,), 3.0))


@pytest.mark.parametrize("shift", [0.0, 400.0, -400.0])
def test_huge_logits_stay_finite(shift: float) -> None:
    logits = 30 * torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) + shift
    logits[2] -= 200  # a row far below the others does not vanish
    found = balanced(logits, temperature=0.04)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(6))


def test_autocast_and_half_precision_inputs_change_nothing() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sinkhorn_knopp(scores_of(logits), temperature=0.1)
    torch.testing.assert_close(found, sinkhorn_knopp(scores_of(logits.float()), temperature=0.1))
    assert balanced(logits[:0], temperature=0.1).shape == (0, 5)


def test_centering_matches_the_reference(golden: Golden) -> None:
    g = golden("losses")
    center = Center(64)
    for i in range(3):
        found = centred(center, g[f"dino/center/logits{i}"], temperature=0.05)
        torch.testing.assert_close(found, g[f"dino/center/probs{i}_t0.05"], atol=2e-5, rtol=0)
    torch.testing.assert_close(center.center, g["dino/center/final_center"], atol=2e-5, rtol=0)
    center = Center(64)
    for i in range(2):
        found = centred(center, g["ibot/teacher_logits"], temperature=0.07)
        torch.testing.assert_close(found, g[f"ibot/center/probs{i}_t0.07"], atol=2e-5, rtol=0)
        if i == 0:
            expected = g["ibot/center/center_after1"][0]
            torch.testing.assert_close(center.center, expected, atol=2e-5, rtol=0)


def test_a_step_without_rows_leaves_the_center() -> None:
    center = Center(3)
    centred(center, torch.ones(2, 3), temperature=1.0)
    before = center.center.clone()
    assert centred(center, torch.zeros(0, 3), temperature=1.0).shape == (0, 3)
    assert torch.equal(center.center, before)


def test_a_step_that_is_not_finite_leaves_the_center() -> None:
    center = Center(3)
    centred(center, torch.ones(2, 3), temperature=1.0)
    before = center.center.clone()
    assert centred(center, torch.full((2, 3), torch.nan), temperature=1.0).isnan().all()
    assert torch.equal(center.center, before)


def _rank(rank: int, folder: str) -> None:
    """One of two processes: balance and centre its share of the rows."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        logits = torch.load(f"{folder}/logits.pt")
        mine = logits[:6] if rank == 0 else logits[6:]
        group = dist.group.WORLD
        center = Center(logits.shape[1])
        parts = {
            "sinkhorn": balanced(mine, temperature=0.07, group=group),
            # All rows on one rank, none on the other: iBOT may have such steps.
            "uneven": balanced(logits[: 8 * rank], temperature=0.07, group=group),
            "probs": centred(center, mine, temperature=0.07, group=group),
            "center": center.center,
        }
        torch.save(parts, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_ranks_are_one_process(golden: Golden, tmp_path: Path) -> None:
    logits = golden("losses")["dino/teacher_logits"]
    torch.save(logits, tmp_path / "logits.pt")
    mp.spawn(_rank, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    alone = balanced(logits, temperature=0.07)
    torch.testing.assert_close(torch.cat([first["sinkhorn"], second["sinkhorn"]]), alone)
    assert first["uneven"].shape == (0, 64)
    torch.testing.assert_close(second["uneven"], alone)
    center = Center(64)
    probs = centred(center, logits, temperature=0.07)
    torch.testing.assert_close(torch.cat([first["probs"], second["probs"]]), probs)
    for part in (first, second):
        torch.testing.assert_close(part["center"], center.center)
