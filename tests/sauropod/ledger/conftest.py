"""A tiny run's results: two shards of a crawl, one curated set, every table that tells of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from sauropod import io, schema
from sauropod.ingest.urls import url_key
from sauropod.schema import Table

HOSTS = ("one.org", "img.two.org", "two.org", "three.org", "four.org", "five.org")
URLS = [f"http://{host}/{i}.jpg" for i, host in enumerate(HOSTS)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class TinyRun:
    """Results in a folder; images of the crawl are numbered as in URLS, by shard of url_key."""

    folder: Path
    ids: dict[str, int] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def write(self, name: str, table: Table, rows: list[Mapping[str, Any]]) -> None:
        columns = {n: [row.get(n) for row in rows] for n in table.columns}
        frame = pl.DataFrame(columns, schema=dict(table.columns))
        self.write_frame(name, table, frame)

    def write_frame(self, name: str, table: Table, frame: pl.DataFrame) -> None:
        made_by = {"stage": "test", "inputs": '["data/crawl.warc.gz"]'}
        schema.write(frame, self.results / name, table, made_by=made_by)

    def read(self, name: str, table: Table) -> pl.DataFrame:
        return schema.read(self.results / name, table)

    def times(self) -> dict[str, int]:
        files = (p for p in self.results.rglob("*") if p.is_file() and "forget" not in p.parts)
        return {str(p): p.stat().st_mtime_ns for p in files}

    def shard(self, stage: str, name: str, number: int, urls: list[str], extra: bytes) -> None:
        """Write a shard's tar and IMAGES, all rows ok but those of four.org."""
        rows = []
        tar = self.results / stage / f"{name}.tar"
        with io.TarWriter(tar) as writer:
            for row, url in enumerate(urls):
                image_id = number << 32 | row
                data = extra + url.encode() * 9
                ok = "four" not in url
                self.ids[url] = image_id
                place = {}
                if ok:
                    self.data[url] = data
                    offset = writer.add(f"{row:08d}.jpg", data)
                    place = {"tar": f"results/{stage}/{name}.tar", "offset": offset}
                    place |= {"num_bytes": len(data), "sha256": sha256(data)}
                told = {"image_id": image_id, "source": name[:-6], "url": url, "width": 8}
                told |= {"height": 9, "format": "jpeg", "status": "ok" if ok else "timeout"}
                rows.append(told | place)
        self.write(f"{stage}/{name}.parquet", schema.IMAGES, rows)


def _in_shard(part: int) -> list[str]:
    return sorted((u for u in URLS if url_key(u) * 2 // 2**64 == part), key=url_key)


def build(folder: Path) -> TinyRun:
    run = TinyRun(folder)
    links = [{"url": u, "url_key": url_key(u), "page_url": "http://p.org/"} for u in URLS]
    links = [{**row, "status": "ok"} for row in sorted(links, key=lambda row: row["url_key"])]
    run.write("links/crawl-00000.parquet", schema.LINKS, links[::2])
    run.write("links/crawl-00001.parquet", schema.LINKS, links[1::2])
    for part in (0, 1):
        run.shard("ingest", f"crawl-{part:05d}", part, _in_shard(part), b"raw")
        (run.results / f"ingest/crawl-{part:05d}.tar").unlink()  # temporary in the workflow
        run.shard("screen", f"crawl-{part:05d}", part, _in_shard(part), b"")
    run.shard("ingest", "set-00000", 1 << 28, ["a/1.jpg", "a/2.jpg"], b"")
    _later(run)
    return run


def _later(run: TinyRun) -> None:
    ids = run.ids
    for part in (0, 1):
        mine = [{"image_id": ids[u]} for u in _in_shard(part) if "four" not in u]
        name = f"crawl-{part:05d}"
        faces = [{"left": 0, "top": 0, "width": 3, "height": 3, "score": 0.75}]
        screened = [{**row, "nsfw_score": 0.125, "faces": faces, "blurred": True} for row in mine]
        run.write(f"screen/{name}.screened.parquet", schema.SCREENED, screened)
        run.write(
            f"hash/{name}.parquet", schema.PCA_HASHES, [{**row, "pca_hash": 255} for row in mine]
        )
        vectors = np.eye(len(mine), 4)
        key = pl.Series("image_id", [row["image_id"] for row in mine], dtype=pl.UInt64)
        for stage, table, column in (
            ("describe", schema.DESCRIPTORS, "descriptor"),
            ("embed", schema.EMBEDDINGS, "embedding"),
        ):
            frame = pl.DataFrame({"image_id": key, column: schema.vector_column(vectors)})
            run.write_frame(f"{stage}/{name}.parquet", table, frame)
    _pool(run)
    _weights(run)


def _pool(run: TinyRun) -> None:
    one, two, twin, three, _, five = (run.ids[url] for url in URLS)
    query = run.ids["a/1.jpg"]
    run.write(
        "hash/duplicates.parquet", schema.DUPLICATES, [{"image_id": five, "duplicate_of": one}]
    )
    near = {"image_id": twin, "neighbour_id": two, "similarity": 0.875}
    run.write(f"link/crawl-{twin >> 32:05d}.parquet", schema.EDGES, [near])
    copies = [
        {"image_id": one, "component": one, "kept": True, "reason": "unique"},
        {"image_id": two, "component": two, "kept": True, "reason": "representative"},
        {
            "image_id": twin,
            "component": two,
            "kept": False,
            "reason": "copy",
            "evidence_id": two,
            "similarity": 0.875,
        },
        {"image_id": three, "component": three, "kept": True, "reason": "unique"},
    ]
    run.write("dedup/copies.parquet", schema.COPIES, copies)
    clusters = [{"image_id": i, "cluster": 7, "distance": 0.5} for i in (one, two, three)]
    for part in (0, 1):
        mine = [row for row in clusters if row["image_id"] >> 32 == part]
        run.write(f"cluster/crawl-{part:05d}.parquet", schema.CLUSTERS, mine)
    found = {"query_dataset": "set", "query_id": query, "rank": 0, "similarity": 0.5}
    neighbours = [{"image_id": one, **found}, {"image_id": two, **found, "rank": 1}]
    run.write("retrieve/set.parquet", schema.NEIGHBOURS, neighbours)
    rows = []
    for url in (URLS[0], URLS[1], "a/1.jpg"):
        data = run.data[url]
        told = {"image_id": run.ids[url], "num_bytes": len(data), "url": url}
        told |= {"sha256": sha256(data), "source": "as_is" if url[0] == "a" else "sample"}
        told |= {"query_dataset": "set", "query_id": None if url[0] == "a" else query}
        rows.append(told)
    rows.sort(key=lambda row: row["sha256"])
    run.write("manifest/lvd.parquet", schema.MANIFEST, rows)


def _weights(run: TinyRun) -> None:
    manifest = run.results / "manifest/lvd.parquet"
    ids = np.array([run.ids[URLS[0]], run.ids[URLS[1]], run.ids[URLS[3]]], np.int64)
    index = faiss.index_factory(4, "IDMap2,Flat")
    index.add_with_ids(np.eye(3, 4, dtype=np.float32), ids)
    (run.results / "index").mkdir()
    faiss.write_index(index, str(run.results / "index/index.faiss"))
    for stage, parents in (("pretrain", []), ("adapt", ["pretrain"])):
        path = run.results / stage / "main" / "backbone.safetensors"
        path.parent.mkdir(parents=True)
        save_file({"w": np.full(1, len(stage))}, path)
        old = [run.results / parent / "main" / "backbone.safetensors" for parent in parents]
        digest = "another" if parents else io.sha256_file(manifest)
        facts = {"manifest_sha256": digest, "weights": {str(p): io.sha256_file(p) for p in old}}
        path.with_suffix(".json").write_text(json.dumps(facts))
    inputs = {"inputs": json.dumps(["results/describe/crawl-{00000..00001}.parquet"])}
    save_file({"v": np.ones(1)}, run.results / "hash/pca.safetensors", inputs)


@pytest.fixture
def tiny_run(tmp_path: Path) -> TinyRun:
    return build(tmp_path)


@pytest.fixture(scope="session")
def told_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """The same, for tests that only read."""
    return build(tmp_path_factory.mktemp("told"))
