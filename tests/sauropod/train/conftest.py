"""A tiny training set: twelve 40-pixel pictures in one tar, one of them broken."""

import hashlib
import io as bytes_io
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from sauropod import io, schema

MakeManifest = Callable[..., Path]


def jpeg(seed: int, size: int = 40) -> bytes:
    """A smooth random picture, as the bytes of a JPEG file."""
    rough = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    buffer = bytes_io.BytesIO()
    Image.fromarray(rough).resize((size, size), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def write_manifest(
    folder: Path, *, count: int = 12, bad: tuple[int, ...] = (), size: int = 40
) -> Path:
    """Write `manifest.parquet` and its tar; the rows numbered in `bad` hold no image."""
    tar = folder / "pool-00000.tar"
    rows = []
    with io.TarWriter(tar) as writer:
        for i in range(count):
            data = b"no image" if i in bad else jpeg(i, size)
            rows.append(
                {
                    "image_id": 1000 + i,
                    "tar": str(tar),
                    "offset": writer.add(f"{i:08d}.jpg", data),
                    "num_bytes": len(data),
                    "source": "as_is",
                    "query_dataset": "tiny",
                    "url": "",
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
    frame = pl.DataFrame(rows, schema=schema.MANIFEST.columns)
    path = folder / "manifest.parquet"
    made_by = io.stamp("manifest", knobs={}, inputs=[])
    schema.write(frame, path, schema.MANIFEST, made_by=made_by)
    return path


@contextmanager
def small_files(limit: int = 100) -> Iterator[None]:
    """Let the kernel refuse this process files of more than `limit` bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def make_manifest(tmp_path: Path) -> MakeManifest:
    """`write_manifest` into the test's own folder."""

    def make(*, count: int = 12, bad: tuple[int, ...] = (), size: int = 40) -> Path:
        return write_manifest(tmp_path, count=count, bad=bad, size=size)

    return make
