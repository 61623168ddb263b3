"""Say what a run costs before anything runs: jobs, bytes, core-hours, GPU-hours, memory, days.

python src/plan.py --config config/lvd142m.yaml --gpus 160 --gpu V100 --cores 800
python src/plan.py --config config/lvd142m.yaml config/presets/dinov2_l14.yaml \\
    --budget-gpu-hours 20000 --json True
"""

import sys
from json import dumps
from pathlib import Path

from sauropod import cli
from sauropod.plan import plan
from sauropod.plan.costs import Fleet


def main(
    config: tuple[Path, ...],
    gpus: int = 160,
    cores: int = 800,
    gpu: str = "V100",
    pool_images: int | None = None,
    counts: tuple[str, ...] = (),
    budget_gpu_hours: float | None = None,
    json: bool = False,
) -> None:
    """Plan a run stage by stage, from unit costs whose source is told beside each.

    Args:
        config: Configuration files, the later on top.
        gpus: GPUs of the fleet.
        cores: CPU cores of the fleet, shared out evenly among GPUs.
        gpu: Their name, as the vendor's data sheet spells it.
        pool_images: Images that the crawl brings; the paper's 1.3 billion when not given.
        counts: `dataset=images` for datasets that the paper does not have.
        budget_gpu_hours: Say what to change so that the plan fits.
        json: Print JSON instead of a table.
    """
    fleet = Fleet(gpus=gpus, cores=cores, gpu=gpu)
    made = plan.make(config, fleet=fleet, pool=pool_images, counts=counts)
    if json:
        sys.stdout.write(dumps(plan.plain(made, budget=budget_gpu_hours), indent=2) + "\n")
    else:
        sys.stdout.write(plan.told(made, budget=budget_gpu_hours))


if __name__ == "__main__":
    cli.run(main)
