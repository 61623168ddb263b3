"""Fit the PCA of the 64-bit hash on a sample of the pool.

    python src/fit_hash.py --descriptors results/describe/crawl-*.parquet \\
        --out results/hash/pca.safetensors
"""

from pathlib import Path

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.config import Hash
from sauropod.dedup import pca_hash
from sauropod.dedup.features import Features
from sauropod.retrieve.draw import sample_vectors


def main(
    out: Path,
    knobs: Knobs[Hash],
    descriptors: tuple[Path, ...] = (),
    images: tuple[Path, ...] = (),
) -> None:
    """Fit the PCA of the 64-bit hash.

    Args:
        out: Artefact to write (safetensors): mean and components.
        descriptors: The pool's DESCRIPTORS, for `--features descriptor`.
        images: The pool's IMAGES, for `--features pixels`; their tars are read.
    """
    paths = images if knobs.features == "pixels" else descriptors
    features = Features(paths, knobs.features)
    sample = sample_vectors(features.arrays(), size=knobs.sample, seed=knobs.seed, purpose="hash")
    projection = pca_hash.fit(sample)
    made_by = {**io.stamp("hash", knobs=knobs, inputs=paths), "samples": str(len(sample))}
    with io.replacing(out) as temporary:
        pca_hash.save(projection, temporary, metadata=made_by)


if __name__ == "__main__":
    cli.run(main)
