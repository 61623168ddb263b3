"""A tiny curation world in tables: a pool with planted copies, a curated set, a benchmark.

The content (vectors, sha256, urls, sizes) is the same however it is sharded; only places differ.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tests.stages.command import script

from sauropod import blocks, config, schema
from sauropod.models.vit import build_vit
from sauropod.models.weights import save_backbone
from sauropod.train.config import Backbone

WIDTH = 72
COPIES, TWINS, OVERLAPS, UNIQUE = 20, 10, 6, 150
MADE_BY = {"stage": "test"}
LINK = config.Link(factory="IVF4,Flat", num_probes=4, neighbours=8, audit=20, shards_per_block=2)
REFERENCES = blocks.reference_blocks(["set-00000", "bench-00000"], size=2)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _near(rng: np.random.Generator, of: np.ndarray, cosine: float) -> np.ndarray:
    """Vectors at exactly this cosine from `of`."""
    noise = rng.standard_normal(of.shape)
    noise -= (noise * of).sum(1, keepdims=True) * of
    return cosine * of + np.sqrt(1 - cosine**2) * _unit(noise)


@dataclass(frozen=True)
class World:
    """Descriptors of the pool by kind, and of the two reference sets."""

    unique: np.ndarray
    copies: np.ndarray
    twins: np.ndarray
    overlaps: np.ndarray
    benchmark: np.ndarray
    curated: np.ndarray

    @property
    def pool(self) -> np.ndarray:
        return np.concatenate([self.unique, self.copies, self.twins, self.overlaps])


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(7)
    unique = _unit(rng.standard_normal((UNIQUE, WIDTH)))
    benchmark = _unit(rng.standard_normal((OVERLAPS, WIDTH)))
    return World(
        unique=unique,
        copies=_near(rng, unique[:COPIES], 0.9),
        twins=unique[COPIES : COPIES + TWINS],
        overlaps=_near(rng, benchmark, 0.5),
        benchmark=benchmark,
        curated=_unit(rng.standard_normal((12, WIDTH))),
    )


def _images(kind: str, ids: np.ndarray, numbers: np.ndarray) -> pl.DataFrame:
    names = [f"{kind}/{n}" for n in numbers]
    rows = {
        "image_id": ids,
        "source": [kind] * len(ids),
        "url": [f"http://{name}.jpg" for name in names],
        "page_url": [None] * len(ids),
        "domain": [None] * len(ids),
        "width": 64 + numbers % 5,
        "height": [64] * len(ids),
        "format": ["jpeg"] * len(ids),
        "num_bytes": 1000 + numbers,
        "sha256": [hashlib.sha256(name.encode()).hexdigest() for name in names],
        "tar": [f"{kind}.tar"] * len(ids),
        "offset": 512 * np.arange(len(ids)),
        "fetched_at": [None] * len(ids),
        "status": ["ok"] * len(ids),
    }
    return pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))


def _vectors(ids: np.ndarray, values: np.ndarray, column: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"image_id": pl.Series(ids, dtype=pl.UInt64), column: schema.vector_column(values)}
    )


class Run:
    """The curation chain on a world, split into `num_shards` pool shards.

    The last `num_late` of them are a source of their own.
    """

    def __init__(self, folder: Path, world: World, num_shards: int, num_late: int = 0) -> None:
        self.folder = folder
        self.world = world
        numbers = np.arange(len(world.pool))
        self.early = [f"crawl-{i:05d}" for i in range(num_shards - num_late)]
        self.late = [f"late-{i:05d}" for i in range(num_late)]
        self.shards = self.early + self.late
        self.embedded: set[Path] = set()
        for i, name in enumerate(self.shards):
            part = numbers[i::num_shards]
            number = i if name in self.early else 1 << 16 | self.late.index(name)
            self._write(name, name[:-6], number, part, world.pool[part])
        self._write("set-00000", "set", 1 << 28, np.arange(12), world.curated)
        self._write("bench-00000", "bench", 2 << 28, np.arange(OVERLAPS), world.benchmark)

    def _write(
        self, name: str, kind: str, shard: int, numbers: np.ndarray, values: np.ndarray
    ) -> None:
        ids = schema.image_ids(shard, len(numbers))
        tables = {
            "images": (_images(kind, ids, numbers), schema.IMAGES),
            "describe": (_vectors(ids, values, "descriptor"), schema.DESCRIPTORS),
            "embed": (_vectors(ids, _unit(values[:, :16]), "embedding"), schema.EMBEDDINGS),
        }
        for stage, (frame, table) in tables.items():
            schema.write(frame, self.at(stage, name), table, made_by=MADE_BY)

    def at(self, stage: str, name: str) -> Path:
        return self.folder / stage / f"{name}.parquet"

    def pool(self, stage: str) -> tuple[Path, ...]:
        return tuple(self.at(stage, name) for name in self.shards)

    def in_blocks(self, stage: str) -> tuple[Path, ...]:
        return tuple(self.at(stage, name) for name in self.blocks)

    def hash(self) -> None:
        knobs = config.Hash(sample=500)
        pca = self.folder / "pca.safetensors"
        first = tuple(self.at("describe", name) for name in self.early)
        script("fit_hash").main(out=pca, knobs=knobs, descriptors=first)
        for name in self.blocks:
            script("hash").main(
                pca=pca,
                block=name,
                out=self.at("hash", name),
                summary=self.at("hash_summary", name),
                knobs=knobs,
                descriptors=self.block(name),
            )
        script("group_hashes").main(
            hashes=self.in_blocks("hash"),
            images=self.pool("images"),
            out=self.at("hash", "duplicates"),
            summary=self.at("hash", "summary"),
            knobs=knobs,
        )

    @property
    def blocks(self) -> dict[str, list[str]]:
        return blocks.pool_blocks(self.shards, size=LINK.shards_per_block)

    def block(self, name: str) -> tuple[Path, ...]:
        shards = {**self.blocks, **REFERENCES}[name]
        return tuple(self.at("describe", shard) for shard in shards)

    def part(self, query: str, pool: str) -> Path:
        return self.folder / "link" / query / f"{pool}.parquet"

    def link(self, knobs: config.Link = LINK) -> None:
        """Like Snakemake: what is there is not made again, but for the merge."""
        duplicates, trained = self.at("hash", "duplicates"), self.folder / "trained.faiss"
        first = tuple(self.at("describe", name) for name in self.early)
        if not trained.exists():
            script("link_train").main(descriptors=first, out=trained, knobs=knobs)
        for name in self.blocks:
            out = self.folder / f"{name}.faiss"
            if not out.exists():
                script("link_index").main(
                    descriptors=self.block(name), duplicates=duplicates, trained=trained, out=out
                )
        for query in [*self.blocks, *REFERENCES]:
            self._link(query, duplicates, knobs)

    def _link(self, query: str, duplicates: Path, knobs: config.Link) -> None:
        for pool in self.blocks:
            if not self.part(query, pool).exists():
                script("link").main(
                    queries=self.block(query),
                    pool=self.block(pool),
                    duplicates=duplicates,
                    index=self.folder / f"{pool}.faiss",
                    out=self.part(query, pool),
                    reference=query in REFERENCES,
                    knobs=knobs,
                )
        script("link_merge").main(
            parts=tuple(self.part(query, pool) for pool in self.blocks),
            duplicates=duplicates,
            block=query,
            out=self.at("link", query),
            summary=self.at("link_summary", query),
            reference=query in REFERENCES,
            knobs=knobs,
        )

    @property
    def edges(self) -> tuple[Path, ...]:
        return tuple(self.at("link", name) for name in [*self.blocks, *REFERENCES])

    def dedup(self, knobs: config.Dedup = config.Dedup()) -> None:  # noqa: B008 - frozen
        script("dedup").main(
            edges=self.edges,
            images=self.pool("images"),
            duplicates=self.at("hash", "duplicates"),
            out=self.at("dedup", "copies"),
            summary=self.at("dedup", "summary"),
            components=self.at("dedup", "components"),
            knobs=knobs,
        )

    def keep(self) -> None:
        """What embed does: embeddings of kept images only; a shard is embedded once."""
        copies = schema.read(self.at("dedup", "copies"), schema.COPIES)
        kept = copies.filter("kept")["image_id"]
        for path in sorted({*self.pool("embed")} - self.embedded):
            self.embedded.add(path)
            frame = schema.read(path, schema.EMBEDDINGS)
            frame = frame.filter(pl.col("image_id").is_in(kept.implode()))
            schema.write(frame, path, schema.EMBEDDINGS, made_by=MADE_BY)

    @property
    def copies(self) -> Path:
        return self.at("dedup", "copies")

    @property
    def first(self) -> tuple[Path, ...]:
        """Embeddings of the first source."""
        return tuple(self.at("embed", name) for name in self.early)

    def select(self) -> None:
        """Like Snakemake: what is fitted and assigned is not so again."""
        trained, centroids = self.folder / "index.faiss", self.folder / "centroids.safetensors"
        knobs = config.Index(factory="IVF2,Flat")
        if not trained.exists():
            script("index_train").main(
                embeddings=self.first, copies=self.copies, out=trained, knobs=knobs
            )
        for name, shards in self.blocks.items():
            script("index").main(
                embeddings=tuple(self.at("embed", shard) for shard in shards),
                copies=self.copies,
                trained=trained,
                block=name,
                out=self.folder / "index" / f"{name}.faiss",
                summary=self.at("index", name),
                knobs=knobs,
            )
        self.cluster(centroids)
        script("retrieve").main(
            dataset="set",
            rows=("set:sample:3", "set:cluster"),
            queries=(self.at("embed", "set-00000"),),
            embeddings=self.pool("embed"),
            copies=self.copies,
            out=self.at("retrieve", "set"),
            summary=self.at("retrieve", "summary"),
            knobs=config.Retrieve(min_queries=2, per_cluster=5, cap=12),
            index=tuple(self.folder / "index" / f"{name}.faiss" for name in self.blocks),
            index_shards=tuple(map(len, self.blocks.values())),
            centroids=centroids,
            clusters=self.in_blocks("cluster"),
        )

    def cluster(self, centroids: Path) -> None:
        knobs = config.Cluster(clusters=8, iterations=5, sample=100)
        if not centroids.exists():
            self._fit_clusters(centroids, knobs)
        for name, shards in self.blocks.items():
            if self.at("cluster", name).exists():
                continue
            script("assign").main(
                embeddings=tuple(self.at("embed", shard) for shard in shards),
                images=tuple(self.at("images", shard) for shard in shards),
                block=name,
                centroids=centroids,
                out=self.at("cluster", name),
                summary=self.at("cluster_summary", name),
                knobs=knobs,
            )

    def _fit_clusters(self, centroids: Path, knobs: config.Cluster) -> None:
        sample = self.folder / "sample.safetensors"
        script("cluster_sample").main(
            embeddings=self.first,
            copies=self.copies,
            out=sample,
            summary=self.at("cluster", "summary"),
            knobs=knobs,
        )
        script("cluster").main(
            vectors=sample, out=centroids, knobs=knobs, checkpoints=self.folder / "checkpoints"
        )

    def manifest(self) -> None:
        script("manifest").main(
            curated=(self.at("images", "set-00000"),),
            out=self.at("manifest", "lvd"),
            knobs=config.Manifest(recipe=("set:as_is", "set:sample:3", "set:cluster")),
            images=self.pool("images"),
            neighbours=(self.at("retrieve", "set"),),
            copies=self.at("dedup", "copies"),
            uncurated=self.at("manifest", "uncurated"),
            summary=self.at("manifest", "summary"),
        )

    def all(self) -> "Run":
        for stage in (self.hash, self.link, self.dedup, self.keep, self.select, self.manifest):
            stage()
        return self


@pytest.fixture(scope="session")
def make_run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    def make(num_shards: int, num_late: int = 0) -> Run:
        return Run(tmp_path_factory.mktemp("curation"), world, num_shards, num_late)

    return make


@pytest.fixture(scope="session")
def curation(make_run: Callable[..., Run]) -> Run:
    """The whole chain, run once on three shards."""
    return make_run(3).all()


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Three classes told apart by colour, 4 training and 3 validation images each."""
    random = np.random.Generator(np.random.Philox(key=1))
    for split, count in (("train", 4), ("val", 3)):
        for name, colour in (("a", (200, 40, 40)), ("b", (40, 200, 40)), ("c", (40, 40, 200))):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(random.normal(colour, 20, (40, 36, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def tiny_backbone(tmp_path: Path) -> Path:
    """Weights of two blocks of width 16, patches of 8 pixels."""
    arch = Backbone(
        arch="vit_tiny", patch_size=8, image_size=32, ffn="mlp", embed_dim=16, depth=2, num_heads=2
    )
    path = tmp_path / "backbone.safetensors"
    made_by = {"stage": "pretrain", "commit": "x", "knobs": "{}", "inputs": "[]"}
    save_backbone(path, build_vit(arch, seed=3), knobs=arch, stamp=made_by)
    return path
