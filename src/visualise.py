"""Show what a backbone sees of a few pictures of similar things, as three PNGs.

    python src/visualise.py --backbone results/adapt/main/backbone.safetensors \
        --images data/objects/val/cat --pca pca.png --matches matches.png --attention attention.png

Patches by their principal components as colours (the first one tells foreground), patches of the
first picture matched to the others', and where the class token looks, head by head.
"""

from pathlib import Path

from PIL import Image

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.errors import InputError
from sauropod.evaluate.subject import load_subject
from sauropod.visualise import plates
from sauropod.visualise.config import Visualise
from sauropod.visualise.pca import foregrounds
from sauropod.visualise.pictures import read_pictures
from sauropod.visualise.seen import see


def _write(picture: Image.Image, path: Path) -> None:
    with io.replacing(path) as temporary:
        picture.save(temporary, "PNG")


def main(
    pca: Path,
    matches: Path,
    attention: Path,
    knobs: Knobs[Visualise],
    backbone: Path | None = None,
    random_like: Path | None = None,
    device: str = "cpu",
) -> None:
    """Paint the plates.

    Args:
        pca: PNG to write: pictures, and below the components of their patches.
        matches: PNG to write: the first picture beside the others, with lines between patches.
        attention: PNG to write: pictures, and beside them the heads' attention.
        backbone: Weights to look through.
        random_like: Weights whose architecture is used, randomly initialised.
        device: cpu or cuda.
    """
    vit = load_subject(backbone, random_like, seed=knobs.seed, device=device)
    if vit is None:
        flag, fix = "--backbone", "name weights, or --random-like"
        raise InputError(flag, expected="a backbone", found="none", fix=fix)
    chosen = read_pictures(tuple(map(Path, knobs.images)), count=knobs.count)
    seen = [see(vit, picture, size=knobs.size) for picture in chosen]
    masks = foregrounds(seen, threshold=knobs.foreground)
    lines = {"radius": knobs.radius, "most": knobs.max_matches, "patch": vit.patch_size}
    _write(plates.pca_plate(seen, masks), pca)
    _write(plates.matches_plate(seen, masks, **lines), matches)
    _write(plates.attention_plate(seen, mass=knobs.mass), attention)


if __name__ == "__main__":
    cli.run(main)
