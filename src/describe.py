"""Compute the copy-detection descriptor (SSCD) of every image of a shard.

    python src/describe.py --images results/screen/crawl-00000.parquet \\
        --sscd weights/sscd_disc_mixup.torchscript.pt --shard crawl-00000 \\
        --out results/describe/crawl-00000.parquet \\
        --summary results/describe/crawl-00000.summary.parquet
"""

from pathlib import Path
from typing import Literal

import torch

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Describe
from sauropod.dedup import descriptors
from sauropod.models import sscd_files


def main(
    images: Path,
    sscd: Path,
    shard: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Describe],
    device: Literal["cpu", "cuda"] = "cpu",
    batch_size: int = 64,
    num_threads: int = 1,
) -> None:
    """Describe one shard.

    Args:
        images: The shard's table of images (IMAGES); rows with status ok are described.
        sscd: Weights of the descriptor network: .safetensors of train_sscd, a torchvision-layout
            .pt, or a TorchScript file.
        shard: The shard's name, for the summary.
        out: Table to write (DESCRIPTORS).
        summary: Table to write (SUMMARY).
        device: Where the network runs; changes only speed.
        batch_size: Images decoded ahead together; changes only speed.
        num_threads: Threads that decode and compute; changes only speed.
    """
    torch.set_num_threads(num_threads)
    table = schema.read(images, schema.IMAGES)
    place = torch.device(device)
    found, dropped = descriptors.describe_shard(
        table,
        model=sscd_files.load(sscd, device=place),
        knobs=knobs,
        device=place,
        batch_size=batch_size,
        num_threads=num_threads,
    )
    made_by = io.stamp("describe", knobs=knobs, inputs=[images, sscd])
    rows = schema.summary("describe", shard, kept=found.height, dropped=dropped)
    schema.write(rows, summary, schema.SUMMARY, made_by=made_by)
    schema.write(found, out, schema.DESCRIPTORS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
