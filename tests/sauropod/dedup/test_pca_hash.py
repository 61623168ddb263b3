"""dedup.pca_hash: the fit against scikit-learn, the bits by hand, what the pixel hash survives."""

import io
from pathlib import Path

import imagehash
import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageEnhance
from sklearn.decomposition import PCA

from sauropod.dedup import pca_hash
from sauropod.dedup.hamming import distance
from sauropod.errors import InputError
from sauropod.io import TarWriter
from sauropod.schema import IMAGES

HERE = Path("pca.safetensors")


def _scene(seed: int) -> Image.Image:
    """A smooth random image, 96x64."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(small).resize((96, 64), Image.Resampling.BICUBIC)


def test_components_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 80)) * np.linspace(3, 1, 80) + 5
    found = pca_hash.fit(features)
    expected = PCA(64, svd_solver="full").fit(features)
    np.testing.assert_allclose(found.mean, expected.mean_)
    cosines = np.abs(np.einsum("dk,kd->k", found.components, expected.components_))
    np.testing.assert_allclose(cosines, 1, atol=1e-9)


def test_signs_do_not_depend_on_the_eigensolver() -> None:
    features = np.random.default_rng(1).standard_normal((200, 70))
    components = pca_hash.fit(features).components
    largest = np.abs(components).argmax(axis=0)
    assert (components[largest, np.arange(64)] > 0).all()


def test_first_column_is_the_lowest_bit() -> None:
    bits = np.zeros((3, 64), bool)
    bits[0, 0] = bits[1, 63] = True
    bits[2, [1, 8]] = True
    assert pca_hash.pack(bits).tolist() == [1, 2**63, 2 + 256]


def test_hash_by_hand() -> None:
    mean, components = np.full(64, 0.5), np.eye(64)
    features = np.zeros((1, 64))
    features[0, [0, 5]] = 1
    features[0, 1] = 0.5  # on the plane: not positive
    projection = pca_hash.Projection(mean=mean, components=components)
    assert pca_hash.project(features, projection, origin=HERE).tolist() == [1 + 32]


def test_bits_are_those_of_float64() -> None:
    """Features on the very plane of a component, where float32 rounds to either side."""
    rng = np.random.default_rng(4)
    fit = pca_hash.fit(rng.standard_normal((300, 96)))
    features = rng.standard_normal((5000, 96))
    along = (features[:2000] - fit.mean) @ fit.components[:, :1] * fit.components[:, 0]
    features[:2000] -= along * (1 + 1e-9 * rng.standard_normal((2000, 1)))
    for kind in (np.float64, np.float16):
        given = features.astype(kind)
        scores = given.astype(np.float64) @ fit.components - fit.mean @ fit.components
        found = pca_hash.project(given, fit, origin=HERE)
        np.testing.assert_array_equal(found, pca_hash.pack(scores > 0))
        one = np.concatenate([pca_hash.project(row[None], fit, origin=HERE) for row in given[:50]])
        np.testing.assert_array_equal(found[:50], one)


def test_half_of_all_bits_are_set() -> None:
    features = np.random.default_rng(2).standard_normal((2000, 70))
    hashes = pca_hash.project(features, pca_hash.fit(features), origin=HERE)
    ones = distance(hashes, np.zeros_like(hashes))
    assert abs(ones.mean() - 32) < 1


def test_save_and_load(tmp_path: Path) -> None:
    fitted = pca_hash.fit(np.random.default_rng(3).standard_normal((100, 64)))
    pca_hash.save(fitted, tmp_path / "pca.safetensors", metadata={"stage": "hash"})
    loaded = pca_hash.load(tmp_path / "pca.safetensors")
    np.testing.assert_array_equal(loaded.mean, fitted.mean)
    np.testing.assert_array_equal(loaded.components, fitted.components)


def test_user_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 64 distinct images"):
        pca_hash.fit(np.ones((64, 100)))
    with pytest.raises(InputError, match="PCA hash artefact"):
        pca_hash.load(tmp_path / "missing.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="PCA hash artefact"):
        pca_hash.load(tmp_path / "junk.safetensors")
    other = pca_hash.Projection(mean=np.zeros(3), components=np.zeros((3, 64)))
    with pytest.raises(InputError, match="70 dimensions"):
        pca_hash.project(np.zeros((1, 70)), other, origin=HERE)
    wrong = pca_hash.Projection(mean=np.zeros(3), components=np.zeros((3, 32)))
    pca_hash.save(wrong, tmp_path / "wrong.safetensors", metadata={})
    with pytest.raises(InputError, match="components"):
        pca_hash.load(tmp_path / "wrong.safetensors")


def test_pixels_are_blind_to_brightness_and_contrast() -> None:
    image = Image.fromarray(np.random.default_rng(4).integers(50, 200, (32, 32), np.uint8))
    dim = Image.fromarray((np.asarray(image) // 2 + 20).astype(np.uint8))
    expected = pca_hash.pixel_features(image)
    assert abs(expected.mean()) < 1e-6
    assert expected.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(pca_hash.pixel_features(dim), expected, atol=0.02)
    assert not pca_hash.pixel_features(Image.new("RGB", (50, 50), "grey")).any()


def test_pixel_hash_keeps_what_imagehash_keeps() -> None:
    """Re-encoding and brightness move few bits, another scene half of them, as phash says too."""
    fit = pca_hash.fit(np.stack([pca_hash.pixel_features(_scene(s)) for s in range(300)]))

    def ours(image: Image.Image) -> np.ndarray:
        return pca_hash.project(pca_hash.pixel_features(image)[None], fit, origin=HERE)

    near, far, theirs = [], [], []
    for seed in range(1000, 1030):
        image = _scene(seed)
        buffer = io.BytesIO()
        ImageEnhance.Brightness(image).enhance(1.05).save(buffer, "JPEG", quality=60)
        copy = Image.open(buffer)
        near.append(int(distance(ours(image), ours(copy))[0]))
        far.append(int(distance(ours(image), ours(_scene(seed + 500)))[0]))
        theirs.append(imagehash.phash(image) - imagehash.phash(copy))
    assert np.mean(near) <= max(4.0, np.mean(theirs) + 2)
    assert 24 < np.mean(far) < 40


def test_pixel_shard_counts_what_it_cannot_decode(tmp_path: Path) -> None:
    rows = []
    with TarWriter(tmp_path / "a.tar") as tar:
        for i, status in enumerate(["ok", "ok", "timeout"]):
            buffer = io.BytesIO()
            _scene(i).save(buffer, "PNG")
            data = buffer.getvalue() if i != 1 else b"not an image"
            row = {"image_id": i, "tar": str(tmp_path / "a.tar"), "status": status}
            rows.append({**row, "offset": tar.add(f"{i}", data), "num_bytes": len(data)})
    ids, features, dropped = pca_hash.pixel_shard(pl.DataFrame(rows, schema=dict(IMAGES.columns)))
    assert ids.tolist() == [0]
    assert features.shape == (1, 1024)
    assert features.dtype == np.float16
    assert dropped == {"not_an_image": 1}
