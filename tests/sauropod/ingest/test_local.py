"""local.py: folders and ready-made tar shards."""

import io as bytesio
import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from sauropod import io
from sauropod.config import Ingest
from sauropod.errors import InputError
from sauropod.ingest import local

from .conftest import bomb, picture

KNOBS = Ingest()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    files = {
        "b/2.JPG": picture(seed=2),
        "a/1.png": picture(seed=1, kind="PNG"),
        "a/broken.jpg": picture()[:300],
        "a/bomb.png": bomb(),
        "a/lies.jpg": picture(seed=3, kind="WEBP"),
        "c/readme.md": b"text",
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def names(folder: Path, *, part: int = 0, num_parts: int = 1) -> list[str]:
    return local.listing(folder, part=part, num_parts=num_parts, counts=Counter())


def test_folder(photos: Path, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    found = local.listing(photos, part=0, num_parts=1, counts=counts)
    assert found == ["a/1.png", "a/bomb.png", "a/broken.jpg", "a/lies.jpg", "b/2.JPG"]
    assert counts == {"not_an_image": 1}
    tar = tmp_path / "x.tar"
    rows = local.pack_folder(photos, found, tar_path=tar, knobs=KNOBS, num_threads=2)
    assert [row.url for row in rows] == found
    assert [row.status for row in rows] == ["ok", "too_many_pixels", "truncated", "ok", "ok"]
    assert [row.format for row in rows if row.status == "ok"] == ["png", "webp", "jpeg"]
    members = [name for name, _, _ in io.tar_members(tar)]
    assert members == ["00000000.png", "00000003.webp", "00000004.jpg"]
    for row in rows:
        if row.status == "ok":
            assert row.offset is not None
            assert row.num_bytes is not None
            data = io.read_range(tar, offset=row.offset, num_bytes=row.num_bytes)
            assert data == (photos / row.url).read_bytes()
        else:
            assert (row.tar, row.offset, row.num_bytes) == (None, None, None)


@pytest.mark.parametrize("num_parts", [2, 3, 9])
def test_parts_share_out_a_folder(photos: Path, num_parts: int) -> None:
    parts = [names(photos, part=i, num_parts=num_parts) for i in range(num_parts)]
    assert [name for part in parts for name in part] == names(photos)


def test_links_that_leave_the_folder(photos: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(picture(seed=9))
    (photos / "b" / "in.jpg").symlink_to(photos / "b" / "2.JPG")
    (photos / "b" / "out.jpg").symlink_to(outside)
    (photos / "b" / "gone.jpg").symlink_to(tmp_path / "nothing")
    (photos / "b" / "self.jpg").symlink_to("self.jpg")
    (photos / "away").symlink_to(tmp_path)
    os.mkfifo(photos / "b" / "pipe.jpg")
    found = [name for name in names(photos) if name.startswith(("b/", "away"))]
    rows = local.pack_folder(photos, found, tar_path=tmp_path / "x.tar", knobs=KNOBS, num_threads=1)
    assert {row.url: row.status for row in rows} == {
        "b/2.JPG": "ok",
        "b/in.jpg": "ok",
        "b/out.jpg": "bad_url",
        "b/gone.jpg": "connection_error",
        "b/self.jpg": "connection_error",
        "b/pipe.jpg": "bad_url",
    }


def test_no_images_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        names(tmp_path / "none")
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="found none"):
        names(tmp_path)


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, bytesio.BytesIO(data))
    return path


def test_tars_stay_where_they_are(tmp_path: Path) -> None:
    good = {"url": "HTTP://Img.Shop.Example/a.jpg#x", "caption": "c"}
    tar = make_tar(
        tmp_path / "00000.tar",
        {
            "000000000.jpg": picture(seed=1),
            "000000000.json": json.dumps(good).encode(),
            "000000000.txt": b"caption",
            "000000001.png": picture(seed=2, kind="PNG"),
            "000000001.json": b"{broken",
            "d.x/000000002.jpg": picture(seed=3)[:300],
            "../../evil.jpg": picture(seed=4),
        },
    )
    rows = local.index_tars([tar], knobs=KNOBS, num_threads=2)
    assert [row.url for row in rows] == [
        "http://img.shop.example/a.jpg",
        "00000.tar#000000001.png",
        "00000.tar#d.x/000000002.jpg",
        "00000.tar#../../evil.jpg",
    ]
    assert [row.status for row in rows] == ["ok", "ok", "truncated", "ok"]
    assert rows[0].domain == "shop.example"
    for row, seed, kind in ((rows[0], 1, "JPEG"), (rows[1], 2, "PNG"), (rows[3], 4, "JPEG")):
        assert row.tar == str(tar)
        assert row.offset is not None
        assert row.num_bytes is not None
        data = io.read_range(tar, offset=row.offset, num_bytes=row.num_bytes)
        assert data == picture(seed=seed, kind=kind)


def test_a_corrupt_tar_is_named(tmp_path: Path) -> None:
    tar = tmp_path / "x.tar"
    tar.write_bytes(make_tar(tmp_path / "y.tar", {"1.jpg": picture()}).read_bytes()[:700])
    with pytest.raises(InputError, match=r"x\.tar"):
        local.index_tars([tar], knobs=KNOBS, num_threads=1)
