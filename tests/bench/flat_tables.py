"""Synthetic tables of a pool of any size, shard by shard, for tests/bench/flat.py.

Vectors are narrow (64 numbers, not 512 or 1280): ten millions take 1.3 GB, and what a stage does
per image besides is the same. Photos are a thousand small JPEGs under many names.
"""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from torch import nn

from sauropod import config, schema, streaming
from sauropod.demo import warc
from sauropod.models import sscd, sscd_files
from sauropod.models.vit import build_vit
from sauropod.models.weights import save_backbone
from sauropod.retrieve import kmeans
from sauropod.retrieve.draw import mix
from sauropod.screen import onnx_file
from sauropod.train.config import Backbone

SHARD_ROWS = 500_000
ARCHIVE_LINKS, PAGE_LINKS = 10_000, 10
PHOTOS, SHARD_PHOTOS, WIDTH_HEIGHT = 1000, 50_000, (96, 72)
WIDTH, CLUSTERS, QUERIES, CURATED = 64, 256, 1000, 1000
NONE = {"stage": "bench"}


class World:
    """Tables of a pool of `rows` images below a folder, made when first asked for."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Say how many images the pool has."""
        self.folder, self.rows = folder, rows

    def shards(self) -> Iterator[tuple[int, int]]:
        """Number and rows of each shard."""
        for number, start in enumerate(range(0, self.rows, SHARD_ROWS)):
            yield number, min(SHARD_ROWS, self.rows - start)

    def names(self) -> list[str]:
        """Names of the shards."""
        return [f"crawl-{number:05d}" for number, _ in self.shards()]

    def at(self, stage: str, name: str = "all") -> Path:
        """Where a table is."""
        return self.folder / stage / f"{name}.parquet"

    def table(self, stage: str) -> tuple[Path, ...]:
        """One table per shard, made when they are not there."""
        paths = tuple(self.at(stage, name) for name in self.names())
        for (number, count), path in zip(self.shards(), paths, strict=True):
            if not path.exists():
                frame, table = getattr(self, f"_{stage}")(number, count)
                # Hashes and edges say whose they are.
                schema.write(frame, path, table, made_by=NONE | {"shards": f'["{path.name}"]'})
        return paths

    def centroids(self) -> Path:
        """Random centroids."""
        path = self.folder / "centroids.safetensors"
        if not path.exists():
            means = _unit(np.random.default_rng(0), CLUSTERS)
            kmeans.save(means.astype(np.float32), path, objectives=[], metadata=NONE)
        return path

    def queries(self) -> Path:
        """EMBEDDINGS of a curated set."""
        frame = _vectors(1 << 28, _unit(np.random.default_rng(1), QUERIES), "embedding")
        return self._one("queries", frame, schema.EMBEDDINGS)

    def many_queries(self) -> Path:
        """EMBEDDINGS of a curated set of a hundredth of the pool."""
        values = _unit(np.random.default_rng(5), max(self.rows // 100, 1))
        frame = _vectors(1 << 28, values, "embedding")
        return self._one("many_queries", frame, schema.EMBEDDINGS)

    def archives(self) -> tuple[Path, ...]:
        """WARCs of pages with ten images each, as many links as there are rows."""
        folder, paths = self.folder / "archives", []
        folder.mkdir(parents=True, exist_ok=True)
        for number, first in enumerate(range(0, self.rows, ARCHIVE_LINKS)):
            paths.append(folder / f"crawl-{number:05d}.warc.gz")
            if not paths[-1].exists():
                last = min(first + ARCHIVE_LINKS, self.rows)
                pages = [_page(image) for image in range(first, last, PAGE_LINKS)]
                paths[-1].write_bytes(warc.info(paths[-1].name) + b"".join(pages))
        return tuple(paths)

    def photos(self) -> Path:
        """A folder of JPEGs: a thousand pictures, linked under as many names as there are rows."""
        folder, drawn = self.folder / "photos", self.folder / "drawn"
        if not folder.exists():
            drawn.mkdir(parents=True)
            for number in range(PHOTOS):
                coarse = np.random.default_rng([number, 6]).integers(0, 256, (6, 8, 3), np.uint8)
                cv2.imwrite(f"{drawn}/{number}.jpg", cv2.resize(coarse, WIDTH_HEIGHT))
            folder.mkdir()
            for row in range(self.rows):
                os.link(drawn / f"{row % PHOTOS}.jpg", folder / f"{row:08d}.jpg")
        return folder

    def packed(self) -> tuple[Path, ...]:
        """IMAGES of the photos, and their tars."""
        folder = self.folder / "packed"
        return self.pack(self.photos(), folder) if not folder.exists() else _tables(folder)

    def pack(self, photos: Path, out: Path) -> tuple[Path, ...]:
        """Ingest a folder, shard by shard."""
        main, num_parts = importlib.import_module("ingest").main, -(-self.rows // SHARD_PHOTOS)
        for part in range(num_parts):
            name = f"crawl-{part:05d}"
            files = {"out": out / f"{name}.parquet", "out_tar": out / f"{name}.tar"}
            files |= {"folder": photos, "summary": out / "summary"}
            place = {"source": "crawl", "shard": name, "shard_number": part, "part": part}
            main(**place, **files, num_parts=num_parts, knobs=config.Ingest(), num_threads=1)
        return _tables(out)

    def detectors(self) -> tuple[Path, Path]:
        """A classifier that fears nothing and a face detector that sees no face."""
        nsfw = nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.AdaptiveMaxPool2d(1), nn.Flatten())
        faces = nn.Sequential(nn.Conv2d(3, 5, 8, 8))
        paths = self.folder / "nsfw.onnx", self.folder / "faces.onnx"
        for net, path in zip((nsfw, faces), paths, strict=True):
            nn.init.zeros_(net[0].weight)
            nn.init.constant_(net[0].bias, -9)
            if not path.exists():
                onnx_file.write(net.eval(), path, size=64, output="out", metadata={})
        return paths

    def sscd(self, arch: config.SscdArch) -> Path:
        """Weights of an untrained descriptor."""
        path = self.folder / "sscd.safetensors"
        if not path.exists():
            sscd_files.save(sscd.create(arch, seed=0), path)
        return path

    def backbone(self, arch: Backbone) -> Path:
        """Weights of an untrained backbone."""
        path = self.folder / "backbone.safetensors"
        if not path.exists():
            stamp = {"stage": "bench", "commit": "", "knobs": "{}", "inputs": "[]"}
            save_backbone(path, build_vit(arch, seed=0), knobs=arch, stamp=stamp)
        return path

    def pairs(self, facts: dict[str, str]) -> Path:
        """PAIRS of all shards: the edges, by query; `facts` say what they are of."""
        path = self.at("pairs")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = (self._edges(*shard)[0].sort("image_id") for shard in self.shards())
            columns = {"found": pl.lit(True), "true": pl.lit(None, pl.Boolean)}
            whole = (frame.with_columns(**columns) for frame in frames)
            streaming.write(whole, path, schema.PAIRS, made_by=facts)
        return path

    def curated(self) -> Path:
        """IMAGES of a curated set."""
        frame, table = self._images(1 << 28, CURATED)
        return self._one("curated", frame.with_columns(source=pl.lit("set")), table)

    def neighbours(self) -> Path:
        """NEIGHBOURS: a tenth of the pool, retrieved for the curated set."""
        ids = np.concatenate([schema.image_ids(*shard)[::10] for shard in self.shards()])
        rows = {"image_id": ids, "query_dataset": "set", "query_id": ids % 97, "rank": 1}
        frame = pl.DataFrame({**rows, "similarity": 0.5, "cluster": None}, schema_overrides=KINDS)
        return self._one("neighbours", frame, schema.NEIGHBOURS)

    def copies(self) -> Path:
        """COPIES that keep two of three images."""
        ids = np.concatenate([schema.image_ids(*shard) for shard in self.shards()])
        rows = {"image_id": ids, "component": ids, "kept": ids % 3 > 0, "reason": "unique"}
        kinds = schema.COPIES.columns
        frame = pl.DataFrame(rows).with_columns(evidence_id=None, similarity=None)
        frame = frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())
        return self._one("copies", frame, schema.COPIES)

    def duplicates(self) -> Path:
        """An empty DUPLICATES."""
        frame = pl.DataFrame(schema=dict(schema.DUPLICATES.columns))
        return self._one("duplicates", frame, schema.DUPLICATES)

    def _one(self, name: str, frame: pl.DataFrame, table: schema.Table) -> Path:
        path = self.at(name)
        if not path.exists():
            schema.write(frame, path, table, made_by=NONE)
        return path

    def _images(self, number: int, count: int) -> tuple[pl.DataFrame, schema.Table]:
        text = np.random.default_rng([number, 0]).bytes(32 * count).hex()
        name = f"crawl-{number:05d}"
        rows = {
            "image_id": schema.image_ids(number, count),
            "source": "crawl",
            "url": pl.Series([f"https://example.com/{name}/{i}.jpg" for i in range(count)]),
            "width": np.arange(count) % 1000 + 100,
            "height": 480,
            "num_bytes": 60_000,
            "sha256": pl.Series([text[i : i + 64] for i in range(0, len(text), 64)]),
            "tar": f"{name}.tar",
            "offset": 60_416 * np.arange(count),
            "status": "ok",
        }
        frame = pl.DataFrame(rows)
        kinds = schema.IMAGES.columns
        missing = [pl.lit(None).alias(name) for name in kinds if name not in rows]
        frame = frame.with_columns(*missing)
        return frame.select(pl.col(c).cast(k) for c, k in kinds.items()), schema.IMAGES

    def _descriptors(self, number: int, count: int) -> tuple[pl.DataFrame, schema.Table]:
        values = _unit(np.random.default_rng([number, 1]), count)
        values[1::10] = values[:-1:10][: len(values[1::10])]  # one in ten is a copy
        return _vectors(number, values, "descriptor"), schema.DESCRIPTORS

    def _embeddings(self, number: int, count: int) -> tuple[pl.DataFrame, schema.Table]:
        values = _unit(np.random.default_rng([number, 2]), count)
        return _vectors(number, values, "embedding"), schema.EMBEDDINGS

    def _hashes(self, number: int, count: int) -> tuple[pl.DataFrame, schema.Table]:
        rng = np.random.default_rng([number, 3])
        hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
        hashes[1::10] = hashes[:-1:10][: len(hashes[1::10])]
        rows = {"image_id": schema.image_ids(number, count), "pca_hash": hashes}
        return pl.DataFrame(rows), schema.PCA_HASHES

    def _clusters(self, number: int, count: int) -> tuple[pl.DataFrame, schema.Table]:
        ids = schema.image_ids(number, count)
        rows = {"image_id": ids, "cluster": mix(ids) % CLUSTERS, "distance": 0.5}
        frame = pl.DataFrame({**rows, "content_key": mix(ids + 1)})
        kinds = schema.CLUSTERS.columns
        return frame.select(pl.col(c).cast(k) for c, k in kinds.items()), schema.CLUSTERS

    def _edges(self, number: int, count: int) -> tuple[pl.DataFrame, schema.Table]:
        """One edge for every second image, to one of the next 1000: many small components."""
        rng = np.random.default_rng([number, 4])
        ids = schema.image_ids(number, count)
        left = rng.integers(0, count, count // 2)
        right = np.minimum(left + rng.integers(1, 1000, len(left)), count - 1)
        rows = {"image_id": ids[left], "neighbour_id": ids[right], "similarity": 0.7}
        return pl.DataFrame(rows, schema_overrides=KINDS), schema.EDGES


KINDS = {
    "similarity": pl.Float32(),
    "rank": pl.UInt32(),
    "cluster": pl.UInt32(),
    "query_id": pl.UInt64(),
}


def _page(first: int) -> bytes:
    """A page that shows ten images between paragraphs, as records of a WARC."""
    text = np.random.default_rng([first, 7]).bytes(150).hex()
    images = range(first, first + PAGE_LINKS)
    shown = [f'<p>{text}</p><img src="/{i % 97}/{i}.jpg" alt="image {i}">' for i in images]
    body = f"<!doctype html><title>{first}</title><body>{''.join(shown)}</body>".encode()
    url = f"http://site-{first % 9973}.example.com/{first}.html"
    return warc.exchange(url, status="200 OK", content_type="text/html", body=body, second=first)


def _tables(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("crawl-*.parquet")))


def _unit(rng: np.random.Generator, count: int) -> np.ndarray:
    values = rng.standard_normal((count, WIDTH), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _vectors(number: int, values: np.ndarray, column: str) -> pl.DataFrame:
    ids = pl.Series(schema.image_ids(number, len(values)))
    return pl.DataFrame({"image_id": ids, column: schema.vector_column(values)})
