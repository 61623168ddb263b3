from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.colour import colour_extractor
from sauropod.evaluate.config import Instance
from sauropod.evaluate.instance import embedder, measure, whole_view


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    for name, colour in (("a/1", "red"), ("a/2", "red"), ("b/1", "blue"), ("b/2", "blue")):
        path = tmp_path / "groups" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(path)
    return tmp_path / "groups"


def test_embedder_is_unit_length_and_leaves_the_broken_out(groups: Path) -> None:
    embed = embedder(colour_extractor(), batch_size=3, num_threads=1, device="cpu")
    paths = sorted(groups.rglob("*.png"))
    paths[1].write_bytes(b"broken")
    found = embed([*paths, groups / "missing.png"])
    assert found.count == 5
    assert found.kept.tolist() == [0, 2, 3]
    torch.testing.assert_close(found.features.norm(dim=1), torch.ones(3))


def test_a_measure_says_how_long_the_whole_took(groups: Path) -> None:
    embed = embedder(colour_extractor(), batch_size=4, num_threads=1, device="cpu")
    rows = measure(groups, layout="groups", embed=embed, knobs=Instance())
    assert {row.metric: row.value for row in rows} == {"map": 1, "top1": 1, "unreadable_photos": 0}
    assert all(row.seconds > 0 for row in rows)
    with pytest.raises(InputError, match="a known layout"):
        measure(groups, layout="imagenet", embed=embed, knobs=Instance())


def test_the_whole_view_cuts_nothing_off() -> None:
    """A mark at the rim, which a centre crop would lose, is still there."""
    pixels = np.zeros((20, 80, 3), np.uint8)
    pixels[:, :8] = 255
    seen = whole_view(colour_extractor(), side=10).prepare(Image.fromarray(pixels))
    assert seen.shape == (3, 10, 10)
    assert seen.dtype == np.uint8
    assert (seen[:, :, 0] > 200).all()
    assert (seen[:, :, 3:] < 10).all()


def test_features_that_are_not_finite_are_one_sentence(groups: Path) -> None:
    def broken(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((len(batch), 1, 4), torch.nan), torch.zeros(len(batch), 4)

    embed = embedder(
        colour_extractor()._replace(forward=broken), batch_size=4, num_threads=1, device="cpu"
    )
    with pytest.raises(InputError, match="finite features, found 4 of 4 images without"):
        measure(groups, layout="groups", embed=embed, knobs=Instance())
