"""Every knob of evaluation but the dense kinds', and how benchmarks are named in configurations.

A benchmark has a kind and a layout. The kind says which script measures it and with which block of
knobs (`STAGE_OF`); the layout says how its files lie, and a reader of that kind knows it.
It imports nothing heavy, because the Snakefile imports it.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["classification", "finetune", "robustness", "segmentation", "depth", "instance"]

STAGE_OF: dict[Kind, str] = {
    "classification": "evaluate",
    "finetune": "evaluate_finetune",
    "robustness": "evaluate_robustness",
    "segmentation": "evaluate_segmentation",
    "depth": "evaluate_depth",
    "instance": "evaluate_instance",
}
"""Kind -> its script and block of knobs, which have the same name."""

_OF_IMAGES = (
    "image_folder",
    "imagenet",
    "inaturalist2018",
    "inaturalist2021",
    "places205",
    "food101",
    "cifar10",
    "cifar100",
    "sun397",
    "cars",
    "aircraft",
    "voc2007",
    "dtd",
    "pets",
    "caltech101",
    "flowers102",
    "cub200",
    "dollar_street",
    "tars",
    "parquet",
)
_OF_CLIPS = ("ucf101", "kinetics", "ssv2")

LAYOUTS: dict[Kind, tuple[str, ...]] = {
    "classification": (*_OF_IMAGES, *_OF_CLIPS),
    "finetune": _OF_IMAGES,
    "robustness": ("class_folders", "imagenet_real", "imagenet_c"),
    "segmentation": ("ade20k", "cityscapes", "voc2012", "pairs"),
    "depth": ("nyu", "kitti", "pairs"),
    "instance": ("revisited", "met", "amstertime", "copydays", "disc21", "groups"),
}
"""Kind -> the layouts its reader knows."""

WITHOUT_FILES = ("cifar10", "cifar100", "parquet", *_OF_CLIPS)
"""Layouts whose images are not files; deduplication cannot take them as references."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is measured on, and, by its images, a reference of decontamination."""

    name: str
    """Letters, digits and underscores; unique over the whole configuration."""
    path: str
    """The dataset's folder."""
    kind: Kind = "classification"
    """What is measured."""
    layout: str = "image_folder"
    """How the files lie, for example image_folder, imagenet, voc2007, ade20k."""
    test: str = ""
    """Folder of the test images below `path`; empty is `val` of an image_folder, else `path`."""
    train: str = ""
    """The same of the training images; empty is `train` of an image_folder, else none."""
    shards: int = 1
    """Shards to make of the training images for decontamination."""
    resize: int = 0
    """Short side after the resize, pixels; 0 takes the kind's."""
    crop: int = 0
    """Side of the centre crop, pixels; 0 takes the kind's."""
    protocols: tuple[Literal["knn", "linear", "logreg", "fewshot"], ...] = ()
    """Classification: what is measured; none takes evaluate's."""
    classes_of: str = ""
    """Robustness: the benchmark whose best linear head is measured."""
    transfer: str = ""
    """Depth: folder of SUN RGB-D, on which the trained heads are measured too; empty is none."""


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Compute the frozen features of a labelled set once, for every protocol."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the untrained backbone (the floor `random`)."""
    resize: int = 256
    """Short side after the resize, pixels."""
    crop: int = 224
    """Side of the centre crop, pixels."""
    blocks: int = 4
    """Last blocks whose CLS tokens are kept."""
    frames: int = 8
    """Frames of a video, evenly spaced."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure frozen features of a labelled set: k-NN, linear probe, logistic regression."""

    version: int = 3
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the linear probe's order and initialisation, and of the few shots."""
    protocols: tuple[Literal["knn", "linear", "logreg", "fewshot"], ...] = ("knn", "linear")
    """What is measured; a benchmark may say its own."""
    neighbours: tuple[int, ...] = (10, 20, 100, 200)
    """k of the k-NN classifiers."""
    temperature: float = 0.07
    """Temperature of the k-NN votes."""
    learning_rates: tuple[float, ...] = (
        1e-5,
        2e-5,
        5e-5,
        1e-4,
        2e-4,
        5e-4,
        1e-3,
        2e-3,
        5e-3,
        1e-2,
        2e-2,
        5e-2,
        1e-1,
    )
    """Learning rates of the linear probe, at batch size 256."""
    num_blocks: tuple[int, ...] = (1, 4)
    """Last blocks whose CLS tokens the linear probe concatenates."""
    steps: int = 12_500
    """Steps of the linear probe."""
    batch_size: int = 1024
    """Images per step of the linear probe."""
    shots: tuple[int, ...] = (1, 5, 10)
    """Images per class of the few-shot k-NN."""
    tries: int = 5
    """Draws of the few shots, whose mean is reported."""
    c_min: float = -6.0
    """Smallest inverse strength of the logistic regression's penalty, as a power of ten."""
    c_max: float = 5.0
    """Largest, as a power of ten."""
    c_count: int = 45
    """Strengths in between, evenly spaced by their powers."""
    tuning_share: float = 0.1
    """Share of the training images that choose the strength."""
    max_iterations: int = 1000
    """Iterations of L-BFGS per strength."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Train on random crops of a labelled set: linear heads alone, or the whole network."""

    version: int = 2
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, order, crops, mixing and stochastic depth."""
    trained: Literal["heads", "all"] = "all"
    """heads: the linear grid on a frozen backbone (the paper: 12,500 steps of 1024 images);
    all: fine-tuning, whose defaults are DeiT III's for ImageNet-1k."""
    resize: int = 256
    """Short side of a test image after the resize, pixels (448: 512)."""
    crop: int = 224
    """Side of the random crops, and of the test's centre crop, pixels."""
    steps: int = 50_000
    """Training steps."""
    batch_size: int = 512
    """Images per step."""
    lr: float = 1e-5
    """Peak learning rate of AdamW (all)."""
    layerwise_decay: float = 1.0
    """Factor of the learning rate per layer from the end (all)."""
    weight_decay: float = 0.1
    """Weight decay (all)."""
    warmup_steps: int = 12_500
    """Steps of linear warm-up (all)."""
    clip_grad: float = 0.0
    """Largest gradient norm of the backbone, and of the layer; 0 clips nothing (all)."""
    drop_path: float = 0.0
    """Share of samples that skip a residual branch; DeiT III: B 0.2, L 0.45, H 0.55 (all)."""
    rand_augment: float = 9.0
    """Magnitude of RandAugment, 0 to 10; 0 leaves it out (all)."""
    mixup: float = 0.8
    """Alpha of mixup's Beta law; 0 blends no images (all)."""
    cutmix: float = 1.0
    """Alpha of CutMix's Beta law; 0 pastes no images; of both, each batch takes one (all)."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes (all)."""
    learning_rates: tuple[float, ...] = Evaluate.learning_rates
    """Learning rates of the grid, at batch size 256 (heads)."""
    num_blocks: tuple[int, ...] = (1, 4)
    """Last blocks whose CLS tokens the heads concatenate (heads)."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Measure another benchmark's best linear head on shifted images of its classes."""

    version: int = 2
    """Raise when the code changes results."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Rank images by the cosine of frozen CLS tokens: retrieval and copy detection."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the untrained backbone (the floor `random`)."""
    resize: int = 256
    """Short side after the resize, pixels."""
    crop: int = 224
    """Side of the view, pixels."""
    view: Literal["crop", "whole"] = "crop"
    """The centre of the resized image, or all of it, squeezed to a square."""
    neighbours: tuple[int, ...] = (1, 2, 3, 5, 7, 10, 15, 20, 50)
    """k of Met's k-NN classifier; the best on its validation set is reported."""
    sharpness: tuple[float, ...] = (
        0.01,
        0.1,
        1.0,
        5.0,
        10.0,
        15.0,
        20.0,
        25.0,
        30.0,
        50.0,
        100.0,
        500.0,
    )
    """Factors of its similarities before the softmax (inverse temperatures), chosen with k."""
