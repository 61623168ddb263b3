"""Every knob of the demo: its world and the two detectors trained on it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Render the demo world: a website, its WARCs, curated sets, benchmarks and the truth."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of everything in the world."""
    image_size: int = 96
    """Longer side of the rendered images, about, pixels."""
    pool_images: int = 1200
    """Images on the website, planted copies included."""
    near_duplicate_share: float = 0.13
    """Share of the pool that is a near duplicate of another image of it."""
    exact_copy_share: float = 0.03
    """Share of the pool with the bytes of another image of it."""
    benchmark_copy_share: float = 0.03
    """Share of the pool that was copied from a benchmark's test images and edited."""
    curated_copy_share: float = 0.015
    """Share of the pool that was copied from a curated set and edited."""
    unsafe_share: float = 0.035
    """Share of the pool that is of the unsafe class."""
    junk_share: float = 0.1
    """Share of the pool that shows no object: banners, logos, charts."""
    faces_share: float = 0.1
    """Share of the pool's scenes that people walked into."""
    curated_objects: int = 192
    """Images of the curated set `objects`."""
    curated_fine: int = 80
    """Images of the curated set `fine`."""
    curated_places: int = 60
    """Images of the curated set `places`."""
    train_per_class: int = 40
    """Training images per class of the benchmarks `objects` and `fine`."""
    val_per_class: int = 20
    """Test images per class of the benchmarks `objects` and `fine`."""
    large_per_class: int = 20
    """Images per class of the benchmark `objects_large`, a third of them for the test."""
    dense_images: int = 72
    """Images each of the benchmarks `segmentation` and `depth`, a third of them for the test."""
    instances: int = 12
    """Objects of the benchmark `instances`, six views each."""
    clips_per_action: int = 12
    """Clips per action of the benchmark `clips`, a third of them for the test."""
    clip_frames: int = 8
    """Frames per clip."""
    detector_images: int = 300
    """Training images of each of the two detectors."""


@dataclass(frozen=True, kw_only=True)
class TrainDetectors:
    """Train the demo's two detectors on its own world."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, order and augmentation."""
    nsfw_size: int = 48
    """Side of the unsafe classifier's input, pixels."""
    nsfw_steps: int = 250
    """Optimiser steps of the unsafe classifier."""
    faces_size: int = 128
    """Side of the face detector's input, pixels."""
    faces_steps: int = 650
    """Optimiser steps of the face detector."""
    batch_size: int = 16
    """Images per step."""
    lr: float = 0.01
    """Peak learning rate."""
