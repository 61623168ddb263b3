"""Screen one shard: drop unsafe images, blur faces in the bytes that are kept.

    python src/screen.py --images results/ingest/crawl-00000.parquet \\
        --nsfw weights/nsfw.onnx --faces weights/faces.onnx --shard crawl-00000 \\
        --out results/screen/crawl-00000.parquet --out-tar results/screen/crawl-00000.tar \\
        --screened results/screen/crawl-00000.screened.parquet \\
        --summary results/screen/crawl-00000.summary.parquet
"""

from pathlib import Path
from typing import Literal

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Screen
from sauropod.screen import detectors
from sauropod.screen import shard as screening


def main(
    images: Path,
    nsfw: Path,
    faces: Path,
    shard: str,
    out: Path,
    out_tar: Path,
    screened: Path,
    summary: Path,
    knobs: Knobs[Screen],
    device: Literal["cpu", "cuda"] = "cpu",
    batch_size: int = 64,
    num_threads: int = 1,
) -> None:
    """Screen one shard.

    Args:
        images: The shard's table of images (IMAGES), which says in which tar they are.
        nsfw: ONNX classifier that says how unsafe an image is.
        faces: ONNX face detector.
        shard: The shard's name, for the summary.
        out: Table to write (IMAGES): new places; unsafe images have status unsafe and no place.
        out_tar: Tar to write.
        screened: Table to write (SCREENED).
        summary: Table to write (SUMMARY).
        device: Where the detectors run; changes only speed.
        batch_size: Images per call of a detector; changes only speed.
        num_threads: Threads that decode and detect; changes only speed.
    """
    table = schema.read(images, schema.IMAGES)
    result = screening.screen_shard(
        table,
        out_tar=out_tar,
        nsfw=detectors.load(nsfw, size=knobs.nsfw_size, device=device, num_threads=num_threads),
        faces=detectors.load(faces, size=knobs.faces_size, device=device, num_threads=num_threads),
        knobs=knobs,
        batch_size=batch_size,
        num_threads=num_threads,
    )
    made_by = io.stamp("screen", knobs=knobs, inputs=[images, nsfw, faces])
    schema.write(result.screened, screened, schema.SCREENED, made_by=made_by)
    kept = result.images.filter(status="ok").height
    rows = schema.summary("screen", shard, kept=kept, dropped=result.dropped)
    schema.write(rows, summary, schema.SUMMARY, made_by=made_by)
    schema.write(result.images, out, schema.IMAGES, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
