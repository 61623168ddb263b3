"""A plan as text and as data: stages, recipe, the paper's figure beside ours, the budget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sauropod import load_config
from sauropod.load_config import Config
from sauropod.plan.budget import changes, gpu_hours
from sauropod.plan.costs import Fleet, counted, paper, units
from sauropod.plan.funnel import Funnel, funnel
from sauropod.plan.stages import Planner, Stage

BESIDE = ("links", "ingest", "screen", "embed", "train", "pretrain", "adapt", "distill")
"""What the paper's figure does not cover: stages whose names begin so."""
LONG_DAYS = 0.1
HEAD = ("stage", "jobs", "images in", "images out", "read", "written", "core-h", "GPU-h", "memory")


@dataclass(frozen=True)
class Plan:
    """Everything a plan says."""

    stages: list[Stage]
    funnel: Funnel
    fleet: Fleet
    planner: Planner

    @property
    def dedup_days(self) -> float:
        """Days of what the paper's "less than two days" covers, stages one after the other."""
        return sum(stage.days for stage in self.stages if not stage.name.startswith(BESIDE))


def make(
    files: Sequence[Path], *, fleet: Fleet, pool: int | None = None, counts: Sequence[str] = ()
) -> Plan:
    """Plan a run before anything of it exists.

    Args:
        files: Configuration files, the later on top.
        fleet: Machines.
        pool: Images that the crawl brings; the paper's when None.
        counts: `dataset=images` for datasets that the paper does not have.

    Raises:
        InputError: a mistake in the configuration, an unknown GPU or a dataset without a count.
    """
    config, told = read(files), paper()
    size = told.funnel["crawled"] if pool is None else pool
    counts_of = counted(counts)
    reached = funnel(config, pool=size, counts=counts_of, paper=told)
    planner = Planner(config, reached, fleet, units())
    return Plan(planner.stages(), reached, fleet, planner)


def read(files: Sequence[Path]) -> Config:
    """Read configuration files as Snakemake does: blocks are merged, the later on top."""
    raw: dict[str, Any] = {}
    for path in files:
        _merge(raw, load_config.read(path))
    return load_config.load(raw, " + ".join(path.name for path in files))


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = dict(value) if isinstance(value, Mapping) else value


def told(plan: Plan, *, budget: float | None = None) -> str:
    """Spell a plan as a table and a few sentences."""
    fleet, said = plan.fleet, paper()
    rows = [(*HEAD, "days"), *(_row(stage) for stage in plan.stages)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    theirs, days = said.curation, sum(stage.days for stage in plan.stages)
    lines += [
        "",
        f"{fleet.gpus} {fleet.gpu} and {fleet.cores} cores: {gpu_hours(plan.stages):,.0f} "
        f"GPU-hours, {days:,.1f} days, stages one after the other",
        f"manifest: {plan.funnel.final:,} rows",
        f"deduplication and retrieval: {plan.dedup_days:.2f} days; the paper: less than "
        f"{theirs['days']} days on {theirs['gpus']} {theirs['gpu']}, embedding not mentioned",
        f"the paper's ViT-g: {said.pretrain_gpu_hours:,} A100 hours",
        "unit costs and where they come from: src/sauropod/plan/unit_costs.yaml",
        *(f"waits for one job: {stage.name}, {stage.days:.2f} days" for stage in _alone(plan)),
    ]
    if budget is not None:
        lines += ["", *_advice(plan, budget)]
    return "\n".join(lines) + "\n"


def plain(plan: Plan, *, budget: float | None = None) -> dict[str, Any]:
    """The plan as what JSON can say."""
    stages = [{**asdict(stage), "days": stage.days} for stage in plan.stages]
    recipe = [
        {"row": str(b.row), "images": b.images, "retrieved": b.retrieved, "final": b.final}
        for b in plan.funnel.recipe
    ]
    result: dict[str, Any] = {"stages": stages, "recipe": recipe, "final": plan.funnel.final}
    result |= {"fleet": asdict(plan.fleet), "gpu_hours": gpu_hours(plan.stages)}
    result |= {"dedup_days": plan.dedup_days, "unit_costs": plan.planner.unit}
    if budget is not None:
        taken, needed = changes(plan.planner, budget)
        result |= {"changes": [asdict(change) for change in taken], "gpu_hours_changed": needed}
    return result


def _advice(plan: Plan, budget: float) -> list[str]:
    taken, needed = changes(plan.planner, budget)
    lines = [f"  saves {change.gpu_hours:,.0f} GPU-hours: {change.text}" for change in taken]
    verdict = "fits" if needed <= budget else "does not fit"
    head = f"budget of {budget:,.0f} GPU-hours: {needed:,.0f} needed"
    return [f"{head} after {len(taken)} changes: {verdict}", *lines]


def _alone(plan: Plan) -> list[Stage]:
    """Stages of one job, none of them a training, that keep the fleet waiting for hours."""
    alone = (stage for stage in plan.stages if stage.jobs == stage.gpus == 1 < plan.fleet.gpus)
    return [stage for stage in alone if stage.days > LONG_DAYS]


def _row(stage: Stage) -> tuple[str, ...]:
    return (
        stage.name,
        f"{stage.jobs:,}",
        f"{stage.images_in:,}",
        f"{stage.images_out:,}",
        _bytes(stage.read_bytes),
        _bytes(stage.write_bytes),
        f"{stage.core_hours:,.1f}",
        f"{stage.gpu_hours:,.1f}",
        _bytes(stage.memory_bytes),
        f"{stage.days:.2f}",
    )


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} PB"
