"""plan.budget: levers are taken until the plan fits, and each saves what it says."""

from pathlib import Path

import pytest

from sauropod.plan import plan
from sauropod.plan.budget import changes, gpu_hours
from sauropod.plan.costs import Fleet

PAPER = Path(__file__).parents[3] / "config" / "lvd142m.yaml"


@pytest.fixture(scope="module")
def made() -> plan.Plan:
    return plan.make([PAPER], fleet=Fleet(gpus=160, cores=800, gpu="V100"))


def test_what_fits_is_left_alone(made: plan.Plan) -> None:
    needed = gpu_hours(made.stages)
    assert changes(made.planner, needed) == ([], needed)


@pytest.mark.parametrize("budget", [95_000, 60_000, 20_000, 1])
def test_savings_add_up(made: plan.Plan, budget: float) -> None:
    taken, needed = changes(made.planner, budget)
    saved = sum(change.gpu_hours for change in taken)
    assert gpu_hours(made.stages) - saved == pytest.approx(needed)
    assert (needed <= budget) is (budget > 1)
    assert taken[0].text.startswith("embed.weights")
    assert needed + taken[-1].gpu_hours > budget, "the last lever was not needed"
