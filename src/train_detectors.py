"""Train the demo's two tiny detectors on its own world and write them as ONNX files.

    python src/train_detectors.py --detectors world/detectors \\
        --nsfw results/detectors/nsfw.onnx --faces results/detectors/faces.onnx
"""

from pathlib import Path

import torch

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.demo.config import TrainDetectors
from sauropod.screen import onnx_file, train


def main(
    detectors: Path, nsfw: Path, faces: Path, knobs: Knobs[TrainDetectors], num_threads: int = 1
) -> None:
    """Train both detectors.

    Args:
        detectors: Folder with nsfw/safe, nsfw/unsafe, faces/images and faces/boxes.parquet.
        nsfw: ONNX file to write, the unsafe classifier.
        faces: ONNX file to write, the face detector.
        num_threads: Threads that compute; changes only speed.
    """
    torch.set_num_threads(num_threads)
    images, unsafe = train.read_labelled(detectors / "nsfw", size=knobs.nsfw_size)
    made_by = io.stamp("train_detectors", knobs=knobs, inputs=[detectors])
    net = train.train_nsfw(images, unsafe, knobs=knobs)
    onnx_file.write(net, nsfw, size=knobs.nsfw_size, output="unsafe", metadata=made_by)
    images, boxes = train.read_faces(detectors / "faces", size=knobs.faces_size)
    net = train.train_faces(images, boxes, knobs=knobs)
    onnx_file.write(net, faces, size=knobs.faces_size, output="grid", metadata=made_by)


if __name__ == "__main__":
    cli.run(main)
