"""Detectors: preprocessing, both face layouts against independent decoders, hostile files."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from PIL import Image
from torch import nn

from sauropod.config import Screen
from sauropod.errors import InputError
from sauropod.screen import detectors, onnx_file

GRID = Screen(faces_format="grid")
YUNET = Screen(faces_format="yunet")


def write_net(path: Path, net: nn.Sequential, *, size: int) -> detectors.Network:
    onnx_file.write(net.eval(), path, size=size, output="out", metadata={})
    return detectors.load(path, size=size, device="cpu", num_threads=1)


def redness(path: Path) -> detectors.Network:
    """Logits of safe = 0 and unsafe = 4 * the largest red value in -1..1."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.zero_()
        net[0].weight[1, 0] = 4
    return write_net(path, net, size=8)


def constant_outputs(path: Path, outputs: dict[str, np.ndarray], *, size: int | str) -> Path:
    """ONNX file that answers any image with the same arrays (batch 1)."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in outputs.items()
    ]
    entry = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, size, size])
    # Runtimes drop unused inputs: the sum of the image, times zero, goes into the last output.
    *_, last = outputs
    nodes[-1].output[0] = "constant"
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes += [
        helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["constant", "nothing"], [last]),
    ]
    infos = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(value.shape))
        for name, value in outputs.items()
    ]
    graph = helper.make_graph(nodes, "constant", [entry], infos, [zero])
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    )
    return path


def grid_network(path: Path, grid: np.ndarray, *, size: int) -> detectors.Network:
    constant_outputs(path, {"grid": grid.astype(np.float32)}, size=size)
    return detectors.load(path, size=size, device="cpu", num_threads=1)


def test_letterbox_by_hand() -> None:
    canvas, filled = detectors.letterbox(Image.new("RGB", (40, 20), (9, 9, 9)), size=8)
    assert filled == (8, 4)
    assert (canvas[:4] == 9).all()
    assert (canvas[4:] == detectors.PADDING).all()


def test_unsafe_score_is_the_softmax_of_the_unsafe_classes(tmp_path: Path) -> None:
    network = redness(tmp_path / "n.onnx")
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[1, 3, 4] = 255  # one bright pixel: red is +1 there, elsewhere -1
    scores = detectors.unsafe_scores(network, images, knobs=Screen())
    expected = [1 / (1 + np.exp(4)), 1 / (1 + np.exp(-4))]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    both = detectors.unsafe_scores(network, images, knobs=Screen(nsfw_classes=(0, 1)))
    np.testing.assert_allclose(both, 1, rtol=1e-6)


def test_unsafe_classes_the_model_lacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nsfw_classes"):
        detectors.unsafe_scores(
            redness(tmp_path / "n.onnx"),
            np.zeros((1, 8, 8, 3), np.uint8),
            knobs=Screen(nsfw_classes=(2,)),
        )


def test_logits_taken_for_probabilities_are_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nsfw_activation"):
        detectors.unsafe_scores(
            redness(tmp_path / "n.onnx"),
            np.zeros((1, 8, 8, 3), np.uint8),
            knobs=Screen(nsfw_activation="none"),
        )


def test_grid_by_hand(tmp_path: Path) -> None:
    grid = np.full((1, 5, 4, 4), -9.0)
    grid[0, :, 1, 2] = [3, 0.25, -0.5, np.log(2), np.log(1.5)]  # cells of 8 pixels
    network = grid_network(tmp_path / "f.onnx", grid, size=32)
    images = np.zeros((1, 32, 32, 3), np.uint8)
    (found,) = detectors.find_faces(network, images, [(32, 16)], knobs=GRID)
    # Centre (2.75, 1.0) cells = (22, 8) pixels, sides 16 x 12; fractions of 32 x 16 pixels.
    expected = [[14 / 32, 2 / 16, 16 / 32, 12 / 16, 1 / (1 + np.exp(-3))]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_boxes_are_cut_at_the_image(tmp_path: Path) -> None:
    grid = np.full((1, 5, 4, 4), -9.0)
    grid[0, :, 0, 0] = [3, 0, 0, np.log(2), np.log(2)]
    grid[0, :, 3, 3] = [3, 0, 0, 0, 0]  # in the padding
    network = grid_network(tmp_path / "f.onnx", grid, size=32)
    (found,) = detectors.find_faces(
        network, np.zeros((1, 32, 32, 3), np.uint8), [(32, 16)], knobs=GRID
    )
    np.testing.assert_allclose(found[:, :4], [[0, 0, 12 / 32, 12 / 16]], rtol=1e-5)


def test_yunet_against_opencv(tmp_path: Path) -> None:
    """The same answers through OpenCV's own decoder of YuNet."""
    rng = np.random.default_rng(0)
    yunet = Screen(faces_format="yunet", faces_overlap=1.0)
    outputs: dict[str, np.ndarray] = {}
    size = 64
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            shape = (1, (size // stride) ** 2, width)
            values = rng.uniform(0, 1, shape) if width == 1 else rng.normal(0, 0.5, shape)
            outputs[f"{kind}_{stride}"] = values.astype(np.float32)
    path = constant_outputs(tmp_path / "yunet.onnx", outputs, size=size)
    image = np.zeros((size, size, 3), np.uint8)
    # OpenCV suppresses on whole pixels, we do not: overlaps are all allowed here.
    theirs = cv2.FaceDetectorYN.create(str(path), "", (size, size), 0.5, 1.0, 5000).detect(image)[1]
    network = detectors.load(path, size=0, device="cpu", num_threads=1)
    (ours,) = detectors.find_faces(network, image[None], [(size, size)], knobs=yunet)
    inside = (theirs[:, :2] + theirs[:, 2:4] > 0).all(axis=1) & (theirs[:, :2] < size).all(axis=1)
    theirs = theirs[inside]
    assert len(ours) == len(theirs) > 5
    cut = np.clip(theirs[:, :2], 0, size), np.clip(theirs[:, :2] + theirs[:, 2:4], 0, size)
    np.testing.assert_allclose(ours[:, :2] * size, cut[0], atol=1e-3)
    np.testing.assert_allclose((ours[:, :2] + ours[:, 2:4]) * size, cut[1], atol=1e-3)
    np.testing.assert_allclose(ours[:, 4], theirs[:, 14], atol=1e-5)


def test_wrong_layout(tmp_path: Path) -> None:
    network = redness(tmp_path / "n.onnx")
    images = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="faces_format"):
        detectors.find_faces(network, images, [(8, 8)], knobs=GRID)
    with pytest.raises(InputError, match="faces_format"):
        detectors.find_faces(network, images, [(8, 8)], knobs=YUNET)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(0, 30), overlap=st.floats(0.1, 0.9))
def test_suppression_against_the_definition(seed: int, count: int, overlap: float) -> None:
    rng = np.random.default_rng(seed)
    corners, sides = rng.integers(0, 20, (count, 2)), rng.integers(4, 16, (count, 2))
    scores = rng.permutation(count)[:, None] / max(count, 1) + 0.01
    boxes = np.hstack([corners + rng.uniform(0, 0.1, corners.shape), sides, scores])

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:4], b[:2] + b[2:4])
        both = np.prod(np.clip(high - low, 0, None))
        return float(both / (a[2] * a[3] + b[2] * b[3] - both))

    kept: list[np.ndarray] = []
    for box in boxes[np.argsort(-boxes[:, 4])]:
        if all(iou(box, other) <= overlap for other in kept):
            kept.append(box)
    found = detectors.suppress(boxes, overlap=overlap)
    np.testing.assert_allclose(found, np.array(kept).reshape(-1, 5), rtol=1e-6)


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x09" * 50])
def test_not_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.onnx: expected"):
        detectors.load(path, size=8, device="cpu", num_threads=1)


def test_missing_file_and_missing_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        detectors.load(tmp_path / "none.onnx", size=8, device="cpu", num_threads=1)
    network = redness(tmp_path / "n.onnx")
    if "CUDAExecutionProvider" not in detectors.onnxruntime.get_available_providers():
        with pytest.raises(InputError, match="--device cpu"):
            detectors.load(network.path, size=8, device="cuda", num_threads=1)
