"""Render the demo world: a website with its web archives, curated sets, benchmarks and the truth.

python src/demo.py --out world
"""

from pathlib import Path

from sauropod import cli
from sauropod.cli import Knobs
from sauropod.demo.config import Demo
from sauropod.demo.world import expected_images, render_world
from sauropod.progress import track


def main(out: Path, knobs: Knobs[Demo]) -> None:
    """Render the demo world.

    Args:
        out: Folder of the world; an older world in it is replaced.
        knobs: Seed, sizes and counts.
    """
    total = expected_images(knobs)
    for _ in track(render_world(out, knobs), total=total, label="demo", unit="images"):
        pass


if __name__ == "__main__":
    cli.run(main)
