"""Make one shard of images: download links, or read a folder or ready-made tar shards.

    python src/ingest.py --source crawl --shard crawl-00003 --shard-number 3 --part 3 \
        --num-parts 64 --links results/links/crawl-00000.parquet \
        --out results/ingest/crawl-00003.parquet --out-tar results/ingest/crawl-00003.tar \
        --summary results/ingest/crawl-00003.summary.parquet

With --folder photos or --tars shards/ in the place of --links, files are read instead.
"""

from collections import Counter
from pathlib import Path

from sauropod import cli, io, schema
from sauropod.config import Ingest
from sauropod.errors import InputError
from sauropod.ingest import addresses, crawl, local, pack, shard_links, sources
from sauropod.ledger.refusals import Refusals


def main(
    source: str,
    shard: str,
    shard_number: int,
    out: Path,
    out_tar: Path,
    summary: Path,
    knobs: cli.Knobs[Ingest],
    links: tuple[Path, ...] = (),
    folder: Path | None = None,
    tars: Path | None = None,
    part: int = 0,
    num_parts: int = 1,
    hosts: tuple[Path, ...] = (),
    forgotten: Path | None = None,
    num_threads: int = 2,
) -> None:
    """Make one shard of images.

    Args:
        source: Name of the source, a column of the table.
        shard: Name of the shard, for the summary.
        shard_number: Number of the shard among all, the upper half of every image_id.
        out: Table to write (IMAGES).
        out_tar: Tar to write; without members for --tars, whose bytes stay where they are.
        summary: Table to write (SUMMARY).
        links: Link files (LINKS) to download from; the shard takes its range of url_key.
        folder: Folder of image files to pack.
        tars: WebDataset or img2dataset tar shard, or a folder or .paths list of them.
        part: Which part of the input.
        num_parts: Parts the input is divided into.
        hosts: Hosts files of lines `ADDR:PORT name name`, the only names that may live at
            addresses that are not public.
        forgotten: What forget.py was told (FORGOTTEN) and nobody may bring back; a file that does
            not exist refuses nothing.
        num_threads: Threads that decode; changes only speed.
    """
    refusals = Refusals.read(forgotten)
    if (bool(links), folder is not None, tars is not None).count(True) != 1:
        flags = "--links, --folder, --tars"
        raise InputError(flags, expected="one of them", found="none or several", fix="give one")
    dropped: Counter[str] = Counter()
    inputs: list[Path] = list(links)
    if links:
        places = addresses.read_hosts(hosts)
        crawl.check_manners(knobs, places=places)
        share, dropped["duplicate_url"] = shard_links.share(links, part=part, num_parts=num_parts)
        share = refusals.links(share)
        rows = crawl.crawl(
            share, tar_path=out_tar, knobs=knobs, places=places, num_threads=num_threads
        )
    elif folder is not None:
        inputs = [folder]
        names = local.listing(folder, part=part, num_parts=num_parts, counts=dropped)
        rows = local.pack_folder(
            folder, names, tar_path=out_tar, knobs=knobs, num_threads=num_threads
        )
    else:
        assert tars is not None
        found = sources.files(tars, kind="tars")
        inputs = sources.part_of(found, part=part, num_parts=num_parts)
        rows = local.index_tars(inputs, knobs=knobs, num_threads=num_threads)
        with io.TarWriter(out_tar):  # the bytes stay in the tars they came in
            pass
    images = refusals.images(pack.frame(rows, source=source, number=shard_number), tar=out_tar)
    made_by = io.stamp("ingest", knobs=knobs, inputs=inputs)
    counts = pack.summary(images, shard=shard, dropped=dropped)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)
    schema.write(images, out, schema.IMAGES, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
