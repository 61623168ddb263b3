"""Screening of encoded images and of a shard's rows."""

import io as std_io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn

from sauropod import images, io, schema
from sauropod.config import Screen
from sauropod.screen import detectors, onnx_file, shard

KNOBS = Screen(faces_format="grid", nsfw_mean=(0, 0, 0), nsfw_std=(1, 1, 1))
SIDE = 48


def loaded(net: nn.Sequential, path: Path) -> detectors.Network:
    onnx_file.write(net.eval(), path, size=SIDE, output="out", metadata={})
    return detectors.load(path, size=0, device="cpu", num_threads=1)


@pytest.fixture
def nsfw(tmp_path: Path) -> detectors.Network:
    """Unsafe where anything is pure red."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[1] = torch.tensor([20.0, -20, -20]).view(3, 1, 1)
        net[0].bias.copy_(torch.tensor([0.0, -15]))
    return loaded(net, tmp_path / "nsfw.onnx")


@pytest.fixture
def faces(tmp_path: Path) -> detectors.Network:
    """A face of 16 x 16 pixels where a cell of 8 x 8 is pure green."""
    net = nn.Sequential(nn.Conv2d(3, 5, 8, 8))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[0] = torch.tensor([-20.0, 20, -20]).view(3, 1, 1).expand(3, 8, 8) / 64
        net[0].bias.copy_(torch.tensor([-15.0, 0, 0, np.log(2), np.log(2)]))
    return loaded(net, tmp_path / "faces.onnx")


def picture(kind: str, *, width: int = SIDE, height: int = SIDE) -> Image.Image:
    pixels = np.random.default_rng(1).integers(90, 110, (height, width, 3), np.uint8)
    if kind == "red":
        pixels[10:30, 10:30] = (255, 0, 0)
    if kind == "green":
        pixels[16:24, 24:32] = (0, 255, 0)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = std_io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def screened(
    data: list[bytes], nsfw: detectors.Network, faces: detectors.Network
) -> list[shard.Verdict]:
    with ThreadPoolExecutor(2) as pool:
        return shard.screen_batch(data, nsfw=nsfw, faces=faces, knobs=KNOBS, pool=pool)


def test_verdicts(nsfw: detectors.Network, faces: detectors.Network) -> None:
    plain, red, green = (encoded(picture(k)) for k in ("plain", "red", "green"))
    verdicts = screened([plain, red, b"junk", green], nsfw, faces)
    assert [v.status for v in verdicts] == ["ok", "unsafe", "not_an_image", "ok"]
    assert verdicts[0].data == plain  # bytes untouched
    assert verdicts[1].data is None
    assert verdicts[2].score is None
    np.testing.assert_allclose(verdicts[3].boxes[:, :4], [[20, 12, 16, 16]], atol=1e-3)
    kept = images.decode(verdicts[3].data)
    assert images.probe(verdicts[3].data) == (SIDE, SIDE, "jpeg")
    assert np.asarray(kept)[16:24, 24:32, 1].mean() < 225  # no longer pure green
    before, after = np.asarray(picture("green")), np.asarray(kept).astype(int)
    assert np.abs(after - before)[40:, :10].max() < 25  # far away only JPEG's loss


def test_boxes_are_pixels_of_the_upright_original(
    nsfw: detectors.Network, faces: detectors.Network
) -> None:
    """A stored 96 x 192 image turned by EXIF is 192 x 96: the box must be found there."""
    canvas = Image.new("RGB", (192, 96), (100, 100, 100))
    # The letterbox divides by four: a cell of 8 pixels is 32 of these.
    canvas.paste(Image.new("RGB", (32, 32), (0, 255, 0)), (64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees to the left
    data = encoded(canvas.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert images.probe(data)[:2] == (96, 192)
    (verdict,) = screened([data], nsfw, faces)
    assert verdict.size == (192, 96)
    np.testing.assert_allclose(verdict.boxes[:, :4], [[48, 16, 64, 64]], atol=1e-2)


def test_colour_profile_survives_blurring(
    nsfw: detectors.Network, faces: detectors.Network
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(picture("green"), "PNG", icc_profile=profile)
    (verdict,) = screened([data], nsfw, faces)
    assert Image.open(std_io.BytesIO(verdict.data)).info["icc_profile"] == profile
    lab = profile[:16] + b"CMYK" + profile[20:]
    (verdict,) = screened([encoded(picture("green"), "PNG", icc_profile=lab)], nsfw, faces)
    assert "icc_profile" not in Image.open(std_io.BytesIO(verdict.data)).info


def test_nothing_that_decodes(nsfw: detectors.Network, faces: detectors.Network) -> None:
    assert [v.status for v in screened([b"", b"x"], nsfw, faces)] == ["not_an_image"] * 2
    assert screened([], nsfw, faces) == []


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_shard_rows(
    tmp_path: Path, nsfw: detectors.Network, faces: detectors.Network, batch_size: int
) -> None:
    kinds = ["plain", "red", "green", "plain", "green"]
    rows = []
    tar_path = str(tmp_path / "in.tar")
    with io.TarWriter(tmp_path / "in.tar") as tar:
        for i, kind in enumerate(kinds):
            data = encoded(picture(kind))
            offset = tar.add(f"{i}.png", data)
            row = {
                "image_id": i,
                "status": "ok",
                "tar": tar_path,
                "offset": offset,
                "num_bytes": len(data),
            }
            rows.append(row | {"format": "png", "width": SIDE, "height": SIDE})
    rows.insert(2, {"image_id": 99, "status": "timeout"})
    table = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    result = shard.screen_shard(
        table,
        out_tar=tmp_path / "out.tar",
        nsfw=nsfw,
        faces=faces,
        knobs=KNOBS,
        batch_size=batch_size,
        num_threads=2,
    )
    assert result.dropped == {"unsafe": 1}
    expected = ["ok", "unsafe", "timeout", "ok", "ok", "ok"]
    assert result.images["status"].to_list() == expected
    assert result.images["image_id"].to_list() == [0, 1, 99, 2, 3, 4]
    assert result.screened["blurred"].to_list() == [False, False, True, False, True]
    assert result.screened["faces"].list.len().to_list() == [0, 0, 1, 0, 1]
    members = {offset: size for _, offset, size in io.tar_members(tmp_path / "out.tar")}
    for row in result.images.filter(pl.col("status") == "ok").iter_rows(named=True):
        assert members[row["offset"]] == row["num_bytes"]
        assert row["tar"] == str(tmp_path / "out.tar")
    gone = result.images.filter(pl.col("status") != "ok")
    assert gone["offset"].null_count() == gone["num_bytes"].null_count() == gone.height
    # No batch size and no thread changes a byte.
    digest = io.sha256_file(tmp_path / "out.tar")
    again = shard.screen_shard(
        table,
        out_tar=tmp_path / "out.tar",
        nsfw=nsfw,
        faces=faces,
        knobs=KNOBS,
        batch_size=2,
        num_threads=1,
    )
    assert io.sha256_file(tmp_path / "out.tar") == digest
    assert again.images.equals(result.images)
