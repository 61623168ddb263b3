"""Measure the loader's engines from JPEG bytes in tars, beside the reference when it is given.

python tests/bench/loader.py                                # prints rows for RECORDS.md
python tests/bench/loader.py --reference DIR --torchvision DIR

DIR are a checkout of facebookresearch/dinov2 and a folder that holds torchvision; beside a torch
without torchvision's operators any folder made by `pip install --no-deps --target` will do. Photos
of 500x375 are rendered here; every engine makes 2 x 224 + 8 x 98 of them, in turn, on one core.
"""

import argparse
import io
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.io import TarWriter, commit
from sauropod.train.config import Crops, Objective
from sauropod.train.data import Rows, Samples
from sauropod.train.masking import sample_masks
from sauropod.train.multicrop import MultiCrop

REPEATS, BATCH, PHOTOS = 9, 16, 64


def photo(seed: int, *, width: int = 500, height: int = 375) -> bytes:
    """Shapes of four sizes and grain, as a JPEG of about 35 kB."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128.0, np.float32)
    for across, contrast in ((5, 60), (12, 35), (40, 18), (125, 8)):
        coarse = rng.normal(0, contrast, (max(2, height * across // width), across, 3))
        pixels += cv2.resize(
            coarse.astype(np.float32), (width, height), None, 0, 0, cv2.INTER_CUBIC
        )
    pixels += rng.normal(0, 3, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=78 + seed % 10
    )
    return buffer.getvalue()


def pack(folder: Path, photos: list[bytes]) -> Rows:
    """The photos in a tar."""
    tar = folder / "photos.tar"
    with TarWriter(tar) as writer:
        offsets = [writer.add(f"{i}.jpg", data) for i, data in enumerate(photos)]
    return Rows(
        image_id=np.arange(len(photos)),
        tars=(tar,),
        tar=np.zeros(len(photos), np.int32),
        offset=np.array(offsets),
        num_bytes=np.array([len(data) for data in photos]),
    )


def multicrop(rows: Rows, **crops: object) -> MultiCrop:
    """Batches of `BATCH` photos."""
    return MultiCrop(
        Samples(rows, seed=0),
        crops=Crops(**crops),  # type: ignore[arg-type]
        objective=Objective(),
        patch_size=14,
        batch_size=BATCH,
        seed=0,
    )


def import_torchvision(folder: Path | None) -> None:
    """Let torchvision be imported from a folder, with or without its compiled operators."""
    if folder is not None:
        sys.path.insert(0, str(folder))
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_kept"] = library  # the operators live as long as it does


def reference_views(photos: list[bytes]) -> Callable[[int], object]:
    """The reference's augmentation of `BATCH` photos."""
    augment = import_module("dinov2.data.augmentations").DataAugmentationDINO(
        global_crops_scale=(0.32, 1.0),
        local_crops_scale=(0.05, 0.32),
        local_crops_number=8,
        global_crops_size=224,
        local_crops_size=98,
    )

    def work(step: int) -> None:
        for i in range(step * BATCH, (step + 1) * BATCH):
            augment(Image.open(io.BytesIO(photos[i % len(photos)])).convert("RGB"))

    return work


def reference_masks() -> Callable[[int], object]:
    """The reference's masks of 64 crops of 16 x 16 patches, half of them masked."""
    masking = import_module("dinov2.data.masking")
    generator = masking.MaskingGenerator((16, 16), max_num_patches=128)
    edges = np.linspace(0.1, 0.5, 33)

    def work(step: int) -> None:
        rng = np.random.default_rng(step)
        for count in (256 * rng.uniform(edges[:-1], edges[1:])).astype(int).tolist() + [0] * 32:
            generator(count)

    return work


def spread(values: list[float]) -> str:
    """Median [min, max]."""
    return f"{statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def in_turn(works: dict[str, Callable[[int], object]], *, unit: int, per: str) -> None:
    """Run all in turn, the first of each unmeasured, and print a table; `unit` pieces per run."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for step in range(REPEATS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work(step)
            times[name].append((time.perf_counter() - start) / unit)
    print(f"| {per} | ms, median [min, max] | per second | times the reference's | n |")
    print("|---|---|---|---|---|")
    for name, all_of in times.items():
        own, theirs = all_of[1:], times.get("reference", [])[1:]
        ratio = spread([b / a for a, b in zip(own, theirs, strict=True)]) if theirs else "-"
        row = [name, spread([1000 * t for t in own]), f"{1 / statistics.median(own):,.0f}", ratio]
        print(f"| {' | '.join(row)} | {REPEATS} |")
    print(flush=True)


def machine() -> str:
    """What this runs on."""
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    packages = ("torch", "numpy", "pillow", "opencv-python-headless")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    cores = f"{len(os.sched_getaffinity(0))} x {models[0] if models else platform.machine()}"
    return f"commit {commit()}; {cores}; {device}; python {platform.python_version()}, {versions}"


def measure(photos: list[bytes], rows: Rows, *, beside: bool) -> None:
    """Print every table."""
    loads = {engine: multicrop(rows, engine=engine) for engine in ("pillow", "cv2", "tensor")}
    views = {"reference": reference_views(photos)} if beside else {}
    in_turn(views | loads, unit=BATCH, per="one image to 2 x 224 + 8 x 98, worker's side, one core")

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded = {engine: load(0).parts[0] for engine, load in loads.items()}

    def moving(engine: str) -> Callable[[int], object]:
        def work(_step: int) -> None:
            loaded[engine].to(device)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return work

    moves = {engine: moving(engine) for engine in loads}
    in_turn(moves, unit=BATCH, per=f"one image of {BATCH}, device's side, {device.type}")

    def masks(exact: bool) -> Callable[[int], object]:
        return lambda step: sample_masks(
            (0, step), crops=range(64), num_crops=64, grid=(16, 16), exact=exact
        )

    ours = {"masks": masks(False), "exact masks": masks(True)}
    theirs = {"reference": reference_masks()} if beside else {}
    in_turn(theirs | ours, unit=32, per="one mask")


def main() -> None:
    """Render, pack, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="checkout of facebookresearch/dinov2")
    parser.add_argument("--torchvision", type=Path, help="folder that holds torchvision")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if given.reference:
        import_torchvision(given.torchvision)
        sys.path.insert(0, str(given.reference))
    photos = [photo(seed) for seed in range(PHOTOS)]
    sizes = [len(data) / 1000 for data in photos]
    print(f"{machine()}; {PHOTOS} JPEGs of {min(sizes):.0f} to {max(sizes):.0f} kB\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measure(photos, pack(Path(folder), photos), beside=given.reference is not None)


if __name__ == "__main__":
    main()
