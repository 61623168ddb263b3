"""Measure k-NN over ImageNet-1k's 1,281,167 training features beside a plain torch statement.

OMP_NUM_THREADS=1 python tests/bench/knn.py            # rows for RECORDS.md: median [min, max] of n
python tests/bench/knn.py --images 100000 --queries 256

Both sides read the same half-precision file, each in a fresh process, in turn. The plain side does
what the reference's module does: all training features in float32, a batch of 256 queries against
all of them, topk, softmax, one-hot votes. Times are of the processor; memory is the peak of
resident memory less what the process held before it read the file.
"""

import argparse
import multiprocessing as mp
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).parent))

from sauropod.evaluate.knn import knn_probabilities
from sauropod.io import commit
from turns import MIB, resident_bytes

CLASSES, KS, TEMPERATURE, BATCH = 1000, (10, 20, 100, 200), 0.07, 256


def write(path: Path, images: int, queries: int, width: int) -> None:
    """Features around a direction per class, and labels in folder order, as files are listed."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, width, generator=generator)
    labels = torch.arange(images) * CLASSES // images
    train = torch.empty(images, width, dtype=torch.float16)
    for rows in torch.arange(images).split(65_536):
        noise = torch.randn(len(rows), width, generator=generator)
        train[rows] = (centres[labels[rows]] + 4 * noise).half()
    asked = torch.randint(CLASSES, (queries,), generator=generator)
    test = centres[asked] + 4 * torch.randn(queries, width, generator=generator)
    save_file({"train": train, "labels": labels, "test": test.half()}, path)


def plain(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor) -> dict[int, torch.Tensor]:
    """The reference's steps, stated plainly."""
    keys = F.normalize(train.float(), dim=1)
    queries = F.normalize(test.float(), dim=1)
    scores: dict[int, list[torch.Tensor]] = {k: [] for k in KS}
    for part in queries.split(BATCH):
        top, index = (part @ keys.T).topk(max(KS), dim=1)
        weights = (top / TEMPERATURE).softmax(dim=1)
        votes = F.one_hot(labels[index], CLASSES) * weights[:, :, None]
        for k in KS:
            scores[k].append(votes[:, :k].sum(dim=1))
    return {k: torch.cat(parts) for k, parts in scores.items()}


def ours(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor) -> dict[int, torch.Tensor]:
    """What evaluate runs."""
    return knn_probabilities(train, labels=labels, test=test, num_classes=CLASSES, ks=KS)


def side(name: str, path: Path, answers: "mp.Queue[tuple[float, float, torch.Tensor]]") -> None:
    """Run one side in this process."""
    torch.set_num_threads(1)
    before = resident_bytes()
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in ("train", "labels", "test")}
    start = time.process_time()
    scores = {"ours": ours, "plain": plain}[name](**tensors)
    seconds = time.process_time() - start
    answers.put((seconds, (resident_bytes(peak=True) - before) / MIB, scores[max(KS)].numpy()))


def main() -> None:
    """Take turns and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    print(f"commit {commit()}; torch {torch.__version__}", flush=True)
    context = mp.get_context("spawn")
    found: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.safetensors"
        write(path, flags.images, flags.queries, flags.width)
        for _ in range(flags.repeats):
            for name, rows in found.items():
                answers = context.Queue()
                process = context.Process(target=side, args=(name, path, answers))
                process.start()
                seconds, memory, scores[name] = answers.get()
                process.join()
                rows.append((seconds, memory))
    differ = abs(scores["plain"] - scores["ours"]).max()
    print(f"largest difference of a vote: {differ:.1e}", flush=True)
    for name, rows in found.items():
        seconds, memory = ([*column] for column in zip(*rows, strict=True))
        text = f"{statistics.median(seconds):.1f} s [{min(seconds):.1f}, {max(seconds):.1f}]"
        size = f"k-NN {flags.images:,} x {flags.width}, {flags.queries} queries"
        print(f"| {size} | {name} | {text} | {statistics.median(memory):,.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
