"""What to change so that a plan fits a budget of GPU-hours: levers, each replanned."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sauropod.load_config import Config
from sauropod.plan.stages import Planner, Stage

FEWEST_STEPS = 125_000
"""Steps of the released short recipe: fewer were not published for these models."""


@dataclass(frozen=True)
class Change:
    """A change of the configuration and the GPU-hours it saves."""

    text: str
    gpu_hours: float


def gpu_hours(stages: Sequence[Stage]) -> float:
    """GPU-hours of a plan."""
    return sum(stage.gpu_hours for stage in stages)


def changes(planner: Planner, budget: float) -> tuple[list[Change], float]:
    """Take levers, mildest first, until the plan fits.

    Returns:
        The changes taken, and the GPU-hours left needed after them (above the budget when all
        levers together do not reach it).
    """
    needed, taken = gpu_hours(planner.stages()), []
    for text, pull in _levers(planner.config):
        if needed <= budget:
            break
        planner = replace(planner, config=pull(planner.config))
        after = gpu_hours(planner.stages())
        if after < needed:
            taken.append(Change(text, needed - after))
            needed = after
    return taken, needed


def _levers(config: Config) -> Iterator[tuple[str, Callable[[Config], Config]]]:
    yield "embed.weights: name a backbone for retrieval", _with("embed", weights="x")
    yield "describe.weights: name released SSCD weights", _with("describe", weights="x")
    for stage in ("pretrain", "distill"):
        steps = config.knobs[stage].optim.steps
        while steps // 2 >= FEWEST_STEPS:
            steps //= 2
            yield f"{stage}.optim.steps: {steps:,}", _fewer_steps(stage, steps)
    yield "distill.students: [vit_small]", _with("distill", students=("vit_small",))
    yield "pretrain.backbone.arch: vit_large", _with_backbone("pretrain", arch="vit_large")


def _changed(config: Config, stage: str, knobs: object) -> Config:
    return replace(config, knobs={**config.knobs, stage: knobs})


def _with(stage: str, **values: Any) -> Callable[[Config], Config]:  # noqa: ANN401
    return lambda config: _changed(config, stage, replace(config.knobs[stage], **values))


def _with_backbone(stage: str, **values: Any) -> Callable[[Config], Config]:  # noqa: ANN401
    def pull(config: Config) -> Config:
        knobs = config.knobs[stage]
        return _changed(config, stage, replace(knobs, backbone=replace(knobs.backbone, **values)))

    return pull


def _fewer_steps(stage: str, steps: int) -> Callable[[Config], Config]:
    def pull(config: Config) -> Config:
        knobs = config.knobs[stage]
        return _changed(config, stage, replace(knobs, optim=replace(knobs.optim, steps=steps)))

    return pull
