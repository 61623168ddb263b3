"""Training of the demo's detectors: targets and loss by hand, and that it learns."""

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from sauropod.config import Screen
from sauropod.demo.config import TrainDetectors
from sauropod.errors import InputError
from sauropod.screen import detectors, onnx_file, train


def test_targets_by_hand() -> None:
    out = train.grid_targets(np.array([[8.0, 4.0, 16.0, 8.0]]), cells=4, stride=8)
    assert out.shape == (7, 4, 4)
    # Centre (16, 8) pixels = (2, 1) cells: the corner of cell column 2, row 1.
    assert out[0].sum() == out[0, 1, 2] == 1
    np.testing.assert_allclose(out[1:5, 1, 2], [-0.5, -0.5, np.log(2), 0])
    np.testing.assert_allclose(out[1:5, 0, 1], [0.5, 0.5, np.log(2), 0])
    assert out[6].sum() == 9
    assert out[5].sum() == 16 - 8
    assert out[5, 1, 2] == 1


def test_targets_decode_to_the_boxes() -> None:
    """Decoder and targets are inverse."""
    boxes = np.array([[3.0, 5.0, 20.0, 24.0], [50.0, 40.0, 12.0, 9.0]])
    out = train.grid_targets(boxes, cells=12, stride=8)
    for left, top, width, height in boxes:
        column, row = int((left + width / 2) // 8), int((top + height / 2) // 8)
        dx, dy, log_w, log_h = out[1:5, row, column]
        sides = 8 * np.exp([log_w, log_h])
        centre = 8 * np.array([column + 0.5 + dx, row + 0.5 + dy])
        np.testing.assert_allclose(
            [*(centre - sides / 2), *sides], (left, top, width, height), 1e-5
        )


def test_no_faces_and_faces_outside() -> None:
    out = train.grid_targets(np.array([[-30.0, 0.0, 10.0, 10.0]]), cells=4, stride=8)
    assert out[0].sum() == out[6].sum() == 0
    assert out[5].sum() == 16


def test_loss_by_hand_and_at_the_optimum() -> None:
    targets = torch.from_numpy(
        train.grid_targets(np.array([[4.0, 4.0, 8.0, 8.0]]), cells=2, stride=8)
    )
    grid = torch.zeros(1, 5, 2, 2)
    # The face's cell is (1, 1): centre 8 = its corner; all four cells carry its box, one a score.
    score = np.log(2) * 0.5**2
    offsets = 4 * 2 * (0.5 - 0.1) / 4  # four cells, |dx| = |dy| = 0.5, smooth L1 beyond beta 0.2
    assert train.grid_loss(grid, targets[None]).item() == pytest.approx(score + offsets, rel=1e-5)
    grid[0, 1:] = targets[1:5]
    grid[0, 0] = torch.where(targets[0] > 0, 30.0, -30.0)
    assert train.grid_loss(grid, targets[None]).item() == pytest.approx(0, abs=1e-6)


def test_mirrored_and_zoomed_boxes_follow_the_pixels() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:40, 10:26] = 255
    for seed in range(8):
        rng = np.random.Generator(np.random.Philox(key=seed))
        box = np.array([[10, 20, 16, 20]])
        moved, boxes = train._vary(image, rng, zoom=(0.8, 0.8), boxes=box)
        ys, xs = np.nonzero(moved[..., 1] > 175)
        left, top, width, height = boxes[0]
        found = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        np.testing.assert_allclose(found, [left, top, width, height], atol=2.5)


def scene(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.integers(40, 160, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)


def test_learns_faces_and_unsafe(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, boxes, unsafe = [], [], []
    for i in range(48):
        image = scene(rng)
        found = np.empty((0, 4))
        if i % 2:
            x, y = rng.integers(4, 28, 2).tolist()
            cv2.circle(image, (x + 8, y + 8), 8, (255, 220, 180), -1)
            cv2.circle(image, (x + 5, y + 6), 2, (0, 0, 0), -1)
            cv2.circle(image, (x + 11, y + 6), 2, (0, 0, 0), -1)
            found = np.array([[x, y, 16, 16]])
        pixels.append(image)
        boxes.append(found)
        unsafe.append(bool(i % 2))
    views, labels = np.stack(pixels), np.array(unsafe)
    knobs = TrainDetectors(nsfw_steps=40, faces_steps=200, batch_size=16)
    nsfw = train.train_nsfw(views, labels, knobs=knobs)
    onnx_file.write(nsfw, tmp_path / "n.onnx", size=48, output="unsafe", metadata={})
    loaded = detectors.load(tmp_path / "n.onnx", size=0, device="cpu", num_threads=1)
    scores = detectors.unsafe_scores(loaded, views, knobs=Screen())
    assert ((scores > 0.5) == labels).mean() > 0.9
    faces = train.train_faces(views, boxes, knobs=knobs)
    onnx_file.write(faces, tmp_path / "f.onnx", size=48, output="grid", metadata={})
    loaded = detectors.load(tmp_path / "f.onnx", size=0, device="cpu", num_threads=1)
    grid = Screen(faces_format="grid", faces_threshold=0.3)
    answers = detectors.find_faces(loaded, views, [(48, 48)] * 48, knobs=grid)
    hits = [
        len(a) > 0 and np.abs((a[0, :2] + a[0, 2:4] / 2) * 48 - (b[0, :2] + 8)).max() < 6
        for a, b in zip(answers, boxes, strict=True)
        if len(b)
    ]
    assert np.mean(hits) > 0.9
    again = train.train_nsfw(views, labels, knobs=knobs)
    for a, b in zip(nsfw.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_reads_the_worlds_folders(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 20), (200, 0, 0)).save(tmp_path / "images/a.jpg")
    Image.new("RGB", (20, 20), (0, 200, 0)).save(tmp_path / "images/b.jpg")
    rows = {"file": ["a.jpg"], "left": [10.0], "top": [4.0], "width": [8.0], "height": [6.0]}
    pl.DataFrame(rows).write_parquet(tmp_path / "boxes.parquet")
    pixels, boxes = train.read_faces(tmp_path, size=20)
    assert pixels.shape == (2, 20, 20, 3)
    np.testing.assert_allclose(boxes[0], [[5, 2, 4, 3]])
    assert boxes[1].shape == (0, 4)
    with pytest.raises(InputError, match="safe: expected a folder of images"):
        train.read_labelled(tmp_path, size=8)
    (tmp_path / "images/c.jpg").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"c\.jpg: expected an image"):
        train.read_faces(tmp_path, size=20)
