"""Augmentation against torchvision's recorded results, against formulas, and against itself."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.train import augment
from sauropod.train.config import Crops
from sauropod.train.randomness import Purpose, keyed
from sauropod.train.views import Jitter, View, draw

GOLDEN = Path(__file__).parents[2] / "golden" / "augment.npz"
WHOLE = View(
    box=(0, 0, 60, 45), size=45, flip=False, jitter=None, gray=False, blur_sigma=0, solarize=False
)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def only(**changes: float) -> Jitter:
    still = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    return Jitter(order=(0, 1, 2, 3), **(still | changes))


class TestPillowIsTorchvision:
    @pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
    def test_each_colour_operation(self, golden: dict[str, np.ndarray], name: str) -> None:
        keys = [key for key in golden if key.startswith(name)]
        assert len(keys) >= 2
        for key in keys:
            jitter = only(**{name: float(key.split("/")[1])})
            # A hue shift of 0 still rounds through HSV; factors of 1 do nothing.
            jitter = jitter._replace(order=(3,) if name == "hue" else (0, 1, 2))
            got = augment.jitter_exactly(Image.fromarray(golden["image"]), jitter)
            assert np.array_equal(np.asarray(got), golden[key]), key

    def test_chain(self, golden: dict[str, np.ndarray]) -> None:
        jitter = only(brightness=1.2, contrast=0.8, saturation=1.1, hue=0.05)
        got = augment.jitter_exactly(Image.fromarray(golden["image"]), jitter)
        assert np.array_equal(np.asarray(got), golden["jitter_chain/b1.2_c0.8_s1.1_h0.05"])

    @pytest.mark.parametrize(
        ("key", "box"),
        [
            ("resized_crop/top5_left7_h30_w41_to28", (7, 5, 48, 35)),
            ("resized_crop/top20_left3_h12_w10_to28", (3, 20, 13, 32)),
        ],
    )
    def test_resized_crop(
        self, golden: dict[str, np.ndarray], key: str, box: tuple[int, int, int, int]
    ) -> None:
        view = WHOLE._replace(box=box, size=28)
        got = augment.apply(golden["image"], view, engine="pillow")
        assert np.array_equal(got, golden[key])

    def test_flip_grayscale_solarize(self, golden: dict[str, np.ndarray]) -> None:
        image = golden["image"]
        square = {"box": (0, 0, 45, 45), "size": 45}
        for change, key in (
            ({"gray": True}, "grayscale"),
            ({"solarize": True}, "solarize/128"),
        ):
            got = augment.apply(image, WHOLE._replace(**square, **change), engine="pillow")
            assert np.array_equal(got, golden[key][:, :45]), key
        flipped = WHOLE._replace(box=(15, 0, 60, 45), flip=True)
        got = augment.apply(image, flipped, engine="pillow")
        assert np.array_equal(got, golden["hflip"][:, :45])

    @pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
    def test_blur_within_one_level(self, golden: dict[str, np.ndarray], sigma: float) -> None:
        got = augment.blur(golden["image"], sigma=sigma).astype(int)
        assert np.abs(got - golden[f"blur9/{sigma}"]).max() <= 1

    def test_normalise(self, golden: dict[str, np.ndarray]) -> None:
        pixels = torch.from_numpy(golden["image"]).permute(2, 0, 1)
        expected = torch.from_numpy(golden["to_tensor_normalize"])
        torch.testing.assert_close(augment.normalise(pixels), expected, atol=1e-5, rtol=0)

    def test_eval_crop(self, golden: dict[str, np.ndarray]) -> None:
        got = augment.eval_crop(Image.fromarray(golden["image"]), resize=32, crop=28)
        assert got.dtype == np.uint8
        expected = torch.from_numpy(golden["eval/resize32_crop28"])
        got = augment.normalise(torch.from_numpy(got))
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_eval_crop_of_tall_image_takes_the_middle() -> None:
    tall = np.zeros((40, 10, 3), np.uint8)
    tall[15:25] = 255
    got = augment.eval_crop(Image.fromarray(tall), resize=10, crop=10)
    assert got.shape == (3, 10, 10)
    assert (got == 255).all()


class TestCv2Engine:
    @pytest.fixture
    def image(self) -> np.ndarray:
        # Smooth and far from black and white: nothing clips, so both engines compute the same.
        noise = np.random.default_rng(0).integers(90, 160, (6, 6, 3)).astype(np.uint8)
        return cv2.resize(noise, (64, 64), interpolation=cv2.INTER_LINEAR)

    @pytest.mark.parametrize(
        "jitter",
        [
            only(brightness=1.3),
            only(contrast=0.7),
            only(saturation=0.8),
            only(hue=0.08),
            only(hue=-0.08),
            only(brightness=0.8, contrast=1.2, saturation=1.1)._replace(order=(2, 1, 0, 3)),
            only(contrast=0.8, saturation=1.2, hue=0.1)._replace(order=(0, 3, 2, 1)),
        ],
    )
    def test_jitter_agrees_with_pillow(self, image: np.ndarray, jitter: Jitter) -> None:
        got = augment.jitter_fast(image, jitter, gray=False).astype(int)
        expected = np.asarray(augment.jitter_exactly(Image.fromarray(image), jitter))
        assert np.abs(got - expected).max() <= 4
        assert np.abs(got - expected).mean() < 1.5

    def test_grayscale_agrees_with_pillow(self, image: np.ndarray) -> None:
        view = WHOLE._replace(box=(0, 0, 64, 64), size=64, gray=True)
        fast = augment.apply(image, view, engine="cv2").astype(int)
        exact = augment.apply(image, view, engine="pillow")
        assert np.abs(fast - exact).max() <= 1

    def test_views_look_like_those_of_pillow(self, image: np.ndarray) -> None:
        crops = Crops(global_size=28, local_size=14, num_local=4)
        for i in range(20):
            generator = keyed(5, purpose=Purpose.VIEWS, counter=i)
            for view in draw(generator, width=64, height=64, crops=crops):
                fast = augment.apply(image, view, engine="cv2").astype(float)
                exact = augment.apply(image, view, engine="pillow")
                assert np.abs(fast - exact).mean() < 8

    @pytest.mark.parametrize(
        ("width", "height"), [(50, 40), (58, 66), (70, 100), (120, 80), (160, 150), (200, 300)]
    )
    def test_resized_crops_agree_with_pillow(self, width: int, height: int) -> None:
        """Enlarged, nearly kept, smoothed first, and averaged: none lets fine detail alias."""
        noise = np.random.default_rng(1).integers(90, 160, (height, width, 3)).astype(np.uint8)
        view = WHOLE._replace(box=(0, 0, width, height), size=56)
        fast = augment.apply(noise, view, engine="cv2").astype(float)
        exact = augment.apply(noise, view, engine="pillow").astype(float)
        assert np.abs(fast - exact).mean() < 0.35 * exact.std()
