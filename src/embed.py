"""Embed a shard's images: kept ones of the pool, all of a curated set.

    python src/embed.py --images results/screen/crawl-00000.parquet \\
        --copies results/dedup/copies.parquet \\
        --backbone results/pretrain/embedder/backbone.safetensors --shard crawl-00000 \\
        --out results/embed/crawl-00000.parquet \\
        --summary results/embed/crawl-00000.summary.parquet
"""

from pathlib import Path
from typing import Literal

import torch

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Embed
from sauropod.models.weights import load_backbone
from sauropod.retrieve import embeddings, kept


def main(
    images: Path,
    backbone: Path,
    shard: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Embed],
    copies: tuple[Path, ...] = (),
    device: Literal["cpu", "cuda"] = "cpu",
    batch_size: int = 64,
    num_threads: int = 1,
) -> None:
    """Embed one shard.

    Args:
        images: The shard's IMAGES; rows with status ok are embedded.
        backbone: Weights: our safetensors, or a file Meta released.
        shard: Name of the shard, for the summary.
        out: Table to write (EMBEDDINGS).
        summary: Table to write (SUMMARY).
        copies: COPIES of the pool, when the shard is of the pool: only kept images are embedded.
        device: Where the backbone runs; changes only speed.
        batch_size: Images per pass; changes only speed.
        num_threads: Threads that decode and compute; changes only speed.
    """
    torch.set_num_threads(num_threads)
    table = schema.read(images, schema.IMAGES)
    chosen = embeddings.kept_only(table, next(iter(copies), None))
    vit, _ = load_backbone(backbone)
    place = torch.device(device)
    found, unreadable = embeddings.embed(
        chosen,
        vit.to(place),
        knobs=knobs,
        device=place,
        batch_size=batch_size,
        num_threads=num_threads,
    )
    dropped = {"not_kept": table.height - chosen.height, **unreadable}
    made_by = io.stamp("embed", knobs=knobs, inputs=[images, *copies, backbone])
    counts = schema.summary("embed", shard, kept=found.height, dropped=dropped)
    lacks = kept.lacks(chosen["image_id"], found["image_id"])
    schema.write(found, out, schema.EMBEDDINGS, made_by={**made_by, **lacks})
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
