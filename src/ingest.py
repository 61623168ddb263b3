"""Make one shard of images: download links, or read a folder or ready-made tar shards.

    python src/ingest.py --links results/links/crawl-0.parquet --part 3 --num-parts 64 \
        --shard-number 3 --out results/ingest/crawl-00003.parquet
    python src/ingest.py --folder photos --shard-number 70 --out results/ingest/photos-00000.parquet
    python src/ingest.py --tars shards/00000.tar --out results/ingest/mine-00000.parquet
"""

from collections import Counter
from pathlib import Path

from sauropod import cli, io, schema
from sauropod.config import Ingest
from sauropod.errors import InputError
from sauropod.ingest import addresses, crawl, local, pack, shard_links, sources


def main(
    out: Path,
    knobs: cli.Knobs[Ingest],
    links: tuple[Path, ...] = (),
    folder: Path | None = None,
    tars: tuple[Path, ...] = (),
    part: int = 0,
    num_parts: int = 1,
    shard_number: int = 0,
    hosts: Path | None = None,
    num_threads: int = 2,
) -> None:
    """Write one shard of images (schema IMAGES), its tar and its summary.

    Args:
        out: Parquet to write, named <source>-<5 digits>; .tar (not with --tars, whose bytes stay
            where they are) and .summary.parquet go beside it.
        links: Link files (schema LINKS) to download from.
        folder: Folder of image files to pack.
        tars: WebDataset or img2dataset tar shards, or folders or .paths lists of them.
        part: Which part of the input.
        num_parts: Parts the input is divided into.
        shard_number: Number of this shard among all, the upper half of every image_id.
        hosts: Hosts file of lines `ADDR:PORT name name`, the only names that may live at
            addresses that are not public.
        num_threads: Threads that decode; changes only speed.
    """
    if (bool(links), folder is not None, bool(tars)).count(True) != 1:
        flags = "--links, --folder, --tars"
        raise InputError(flags, expected="one of them", found="none or several", fix="give one")
    dropped: Counter[str] = Counter()
    inputs: list[Path] = list(links)
    tar_path = out.with_suffix(".tar")
    if links:
        places = addresses.read_hosts(hosts)
        crawl.check_manners(knobs, places=places)
        share, dropped["duplicate_url"] = shard_links.share(links, part=part, num_parts=num_parts)
        rows = crawl.crawl(
            share, tar_path=tar_path, knobs=knobs, places=places, num_threads=num_threads
        )
    elif folder is not None:
        inputs = [folder]
        names = local.listing(folder, part=part, num_parts=num_parts, counts=dropped)
        rows = local.pack_folder(
            folder, names, tar_path=tar_path, knobs=knobs, num_threads=num_threads
        )
    else:
        found = [path for source in tars for path in sources.files(source, kind="tars")]
        inputs = sources.part_of(found, part=part, num_parts=num_parts)
        rows = local.index_tars(inputs, knobs=knobs, num_threads=num_threads)
    images = pack.frame(rows, source=out.stem.rpartition("-")[0] or out.stem, number=shard_number)
    made_by = io.stamp("ingest", knobs=knobs, inputs=inputs)
    summary = pack.summary(images, shard=out.stem, dropped=dropped)
    schema.write(summary, out.with_suffix(".summary.parquet"), schema.SUMMARY, made_by=made_by)
    schema.write(images, out, schema.IMAGES, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
