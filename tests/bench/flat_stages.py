"""The data stages as tests/bench/flat.py runs them: each makes its inputs, and returns its work.

links reads WARCs; ingest, screen, describe and embed read JPEGs of 96 x 72 with small networks;
the others read tables. Stages that search (link, retrieve_sample) have their default knobs and the
pool in one block, whose lists grow with the square root of its images: there are as many as the
paper's configuration has for a block. Stages that fill an index (link_index, index) have LISTS at
any size: a quantiser is trained once, for blocks of one size.
"""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flat_tables
from sauropod import config, io, schema
from sauropod.dedup import parts
from sauropod.retrieve.index import POINTS_PER_LIST
from sauropod.retrieve.vectors import StoredVectors
from sauropod.train.config import Backbone

SAMPLE = 100_000
LISTS = 100
POINTS = 2 * POINTS_PER_LIST  # a third of the images may be dropped
MANY_LISTS = 2000  # from here codes of centroids are faster than centroids
PAPER_LISTS, PAPER_BLOCK = 16_384, 25_000_000
VIT = Backbone(arch="vit_tiny", patch_size=16, image_size=64, embed_dim=48, depth=2, num_heads=2)
SSCD = config.SscdArch(trunk="resnet18", width=8, dim=64)

Work = Callable[[], None]


def _link_knobs(lists: int) -> config.Link:
    return config.Link(**_training(lists), audit=0)


def _index_knobs(lists: int) -> config.Index:
    return config.Index(**_training(lists))


def _training(lists: int) -> dict[str, Any]:
    """Knobs of an index that are the same in both stages."""
    by_codes = "(PQ32x4fs,RFlat)" if lists >= MANY_LISTS else ""
    return {
        "factory": f"IVF{lists}{by_codes},PQ16x4fs",
        "train_sample": max(SAMPLE, POINTS_PER_LIST * lists),
        "list_iterations": 3,
        "code_iterations": 10,
    }


def _links(world: flat_tables.World, out: Path) -> Work:
    """A job for every archive; its rows are image links."""
    works = [
        _script("links", out, source=path, kind="warc", shard=path.stem, knobs=config.Links())
        for path in world.archives()
    ]
    return lambda: [work() for work in works] and None


def _hash(world: flat_tables.World, out: Path) -> Work:
    tables, knobs = world.table("descriptors"), config.Hash(sample=SAMPLE)
    importlib.import_module("fit_hash").main(out=out / "pca", knobs=knobs, descriptors=tables[:1])
    given = {"pca": out / "pca", "block": "all", "descriptors": tables}
    return _script("hash", out, knobs=knobs, **given)


def _group_hashes(world: flat_tables.World, out: Path) -> Work:
    given = {"hashes": world.table("hashes"), "images": world.table("images")}
    return _script("group_hashes", out, knobs=config.Hash(), **given)


def _dedup(world: flat_tables.World, out: Path) -> Work:
    given = {"edges": world.table("edges"), "images": world.table("images")}
    given |= {"duplicates": world.duplicates(), "components": out / "components"}
    # Edges are named after shards, as the images are.
    return _script("dedup", out, knobs=config.Dedup(max_component_share=1.0), **given)


def _cluster_sample(world: flat_tables.World, out: Path) -> Work:
    knobs = config.Cluster(sample=SAMPLE)
    given = {"embeddings": world.table("embeddings"), "copies": world.copies()}
    return _script("cluster_sample", out, knobs=knobs, **given)


def _assign(world: flat_tables.World, out: Path) -> Work:
    given = {"embeddings": world.table("embeddings"), "images": world.table("images")}
    given |= {"centroids": world.centroids(), "block": "all"}
    return _script("assign", out, knobs=config.Cluster(), **given)


def _retrieve(world: flat_tables.World, out: Path) -> Work:
    knobs = config.Retrieve(per_cluster=1000, min_queries=1, cap=100_000)
    given = {"clusters": world.table("clusters"), "centroids": world.centroids()}
    given |= {"dataset": "set", "rows": ("set:cluster",), "queries": (world.queries(),)}
    given["copies"] = world.copies()
    return _script("retrieve", out, knobs=knobs, **given)


def _manifest(world: flat_tables.World, out: Path) -> Work:
    knobs = config.Manifest(recipe=("set:as_is", "set:sample:1"))
    given = {"curated": (world.curated(),), "images": world.table("images")}
    given |= {"neighbours": (world.neighbours(),), "copies": world.copies()}
    return _script("manifest", out, knobs=knobs, uncurated=out / "uncurated", **given)


def _balance(world: flat_tables.World, out: Path) -> Work:
    knobs = config.Balance(target=world.rows // 10, levels=(32, 8), resampling_steps=2)
    given = {"clusters": world.table("clusters"), "centroids": world.centroids()}
    given["copies"] = world.copies()
    return _script("balance", out, knobs=knobs, images=world.table("images"), **given)


def _ingest(world: flat_tables.World, out: Path) -> Work:
    folder = world.photos()

    def work() -> None:
        world.pack(folder, out)

    return work


def _screen(world: flat_tables.World, out: Path) -> Work:
    nsfw, faces = world.detectors()
    options = {"nsfw": nsfw, "faces": faces, "knobs": config.Screen(faces_format="grid")}
    options |= {"screened": out / "screened", "out_tar": out / "screened.tar"}
    return _per_shard("screen", world, out, **options)


def _describe(world: flat_tables.World, out: Path) -> Work:
    weights, knobs = world.sscd(SSCD), config.Describe(resolution=64)
    return _per_shard("describe", world, out, sscd=weights, knobs=knobs)


def _embed(world: flat_tables.World, out: Path) -> Work:
    weights, knobs = world.backbone(VIT), config.Embed(resize=72, crop=64)
    return _per_shard("embed", world, out, backbone=weights, knobs=knobs)


def _square(rows: int) -> int:
    lists = PAPER_LISTS * math.sqrt(rows / PAPER_BLOCK)
    return min(round(lists), rows // POINTS)


def _fixed(rows: int) -> int:
    return min(LISTS, rows // POINTS)


def _link_index(world: flat_tables.World, out: Path) -> Work:
    return _link_filling(world, out / "index", lists=_fixed(world.rows))


def _link_filling(world: flat_tables.World, index: Path, *, lists: int) -> Work:
    tables, knobs = world.table("descriptors"), _link_knobs(lists)
    trained = _trained("link_train", world, lists, descriptors=tables[:1], knobs=knobs)
    given = {"descriptors": tables, "duplicates": world.duplicates()}
    main = importlib.import_module("link_index").main
    return lambda: main(trained=trained, out=index, **given)


def _link(world: flat_tables.World, out: Path) -> Work:
    """One block in itself: a block may have all of a pool's shards."""
    index, lists = world.folder / "link.faiss", _square(world.rows)
    if not index.exists():
        _link_filling(world, index, lists=lists)()
    tables, main = world.table("descriptors"), importlib.import_module("link").main
    given = {"duplicates": world.duplicates(), "index": index, "knobs": _link_knobs(lists)}
    return lambda: main(queries=tables, pool=tables, out=out / "pairs", **given)


def _link_merge(world: flat_tables.World, out: Path) -> Work:
    """Pairs as one search in one block finds them."""
    knobs = _link_knobs(_square(world.rows))
    stored = StoredVectors(world.table("descriptors"), schema.DESCRIPTORS)
    facts = parts.made_of(stored, stored, num_queries=world.rows)
    facts["knobs"] = io.stamp("link", knobs=knobs, inputs=[])["knobs"]
    given = {"parts": (world.pairs(facts),), "duplicates": world.duplicates()}
    return _script("link_merge", out, block="crawl-block-00000", knobs=knobs, **given)


def _index(world: flat_tables.World, out: Path) -> Work:
    return _filling(world, out, lists=_fixed(world.rows))


def _filling(world: flat_tables.World, out: Path, *, lists: int) -> Work:
    given = {"copies": world.copies(), "knobs": _index_knobs(lists)}
    vectors = world.table("embeddings")
    trained = _trained("index_train", world, lists, embeddings=vectors[:2], **given)
    given |= {"embeddings": vectors, "trained": trained}
    return _script("index", out, block="crawl-block-00000", **given)


def _retrieve_sample(world: flat_tables.World, out: Path) -> Work:
    """A hundredth of the pool as queries: a recipe grows with its pool."""
    filled = world.folder / "filled"
    if not filled.exists():
        _filling(world, filled, lists=_square(world.rows))()
    vectors, knobs = world.table("embeddings"), config.Retrieve(audit=0)
    given = {"dataset": "set", "rows": ("set:sample:4",), "queries": (world.many_queries(),)}
    given |= {"copies": world.copies(), "embeddings": vectors, "index": (filled / "out",)}
    return _script("retrieve", out, knobs=knobs, index_shards=(len(vectors),), **given)


def _trained(name: str, world: flat_tables.World, lists: int, **given: object) -> Path:
    path = world.folder / f"{name}-{lists}.faiss"
    if not path.exists():
        importlib.import_module(name).main(out=path, **given)
    return path


def _per_shard(name: str, world: flat_tables.World, out: Path, **options: object) -> Work:
    """A stage that makes one job of each shard of photos."""
    shards = world.packed()
    works = [_script(name, out, images=path, shard=path.stem, **options) for path in shards]
    return lambda: [work() for work in works] and None


def _script(name: str, out: Path, **given: object) -> Work:
    main = importlib.import_module(name).main
    return lambda: main(out=out / "out", summary=out / "summary", **given)


STAGES: dict[str, Callable[[flat_tables.World, Path], Work]] = {
    "links": _links,
    "hash": _hash,
    "group_hashes": _group_hashes,
    "link_index": _link_index,
    "link_merge": _link_merge,
    "dedup": _dedup,
    "index": _index,
    "cluster_sample": _cluster_sample,
    "assign": _assign,
    "retrieve": _retrieve,
    "manifest": _manifest,
    "balance": _balance,
    "ingest": _ingest,
    "screen": _screen,
    "describe": _describe,
    "embed": _embed,
    "link": _link,
    "retrieve_sample": _retrieve_sample,
}
