"""The online probe: what it measures, what it leaves alone, what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.backbone import backbone_extractor
from sauropod.evaluate.datasets.dataset import Split
from sauropod.evaluate.datasets.image_folder import read_image_folder
from sauropod.evaluate.features import extract
from sauropod.evaluate.knn import knn_probabilities
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.augment import eval_crop, normalise
from sauropod.train.config import Backbone
from sauropod.train.probe import Probe, subset

CPU = torch.device("cpu")
HUES = {"blue": (20, 30, 200), "green": (30, 190, 20), "red": (210, 40, 30)}


def _write(root: Path, *, train: int = 8, val: int = 4, noise: int = 25) -> Path:
    """A set whose classes are colours, give or take noise: PNG files of 40 x 36 pixels."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name, colour in HUES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (
                    np.asarray(colour)
                    + random.integers(-noise, noise + 1, 3)
                    + np.zeros((36, 40, 3))
                )
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / f"{i}.png")
    return root


def _vit(seed: int = 0) -> VisionTransformer:
    knobs = Backbone(
        arch="vit_tiny",
        embed_dim=32,
        depth=2,
        num_heads=2,
        patch_size=8,
        image_size=32,
        ffn="mlp",
        layerscale=1.0,
        drop_path=0.5,
    )
    return build_vit(knobs, seed=seed)


def test_colours_are_told_apart_by_any_backbone(tmp_path: Path) -> None:
    probe = Probe([_write(tmp_path / "hues")], crop=32)
    assert probe({"": _vit()}, device=CPU) == {"probe/hues": 1.0}


def test_it_measures_what_evaluate_measures(tmp_path: Path) -> None:
    """The same images through the extractor and the k-NN of the evaluation."""
    root, vit = _write(tmp_path / "hues", noise=200), _vit().eval()
    folder = read_image_folder(root)
    extractor = backbone_extractor(vit, num_blocks=1, resize=37, crop=32)
    settings = {"batch_size": 5, "num_threads": 1, "device": "cpu", "label": "x"}
    splits = [folder.splits[name] for name in ("train", "test")]
    train, test = (extract(extractor, split=split, **settings) for split in splits)
    labels, test_labels = (torch.from_numpy(split.labels) for split in splits)
    votes = knn_probabilities(
        train.cls[:, 0], labels=labels, test=test.cls[:, 0], num_classes=3, ks=(10,)
    )
    share = (votes[10].argmax(dim=1) == test_labels).float().mean().item()
    assert Probe([root], crop=32)({"": vit}, device=CPU) == {"probe/hues": share}
    assert 0 < share < 1, "too easy or too hard to tell a right probe from a wrong one"


def test_it_sees_the_evaluation_crop(tmp_path: Path) -> None:
    root, vit, seen = tmp_path / "ramps", _vit(), []
    for split in ("train", "val"):
        (root / split / "ramp").mkdir(parents=True)
        ramp = np.linspace(0, 255, 40 * 36 * 3).reshape(36, 40, 3).astype(np.uint8)
        Image.fromarray(ramp).save(root / split / "ramp" / "0.png")
    vit.patch_embed.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0][0]))
    Probe([root], crop=24)({"": vit}, device=CPU)
    crop = eval_crop(Image.fromarray(ramp), resize=27, crop=24)
    assert torch.equal(seen[0], normalise(torch.from_numpy(crop)[None]))


def test_the_backbone_stays_as_it_was_and_answers_alike(tmp_path: Path) -> None:
    probe, vit = Probe([_write(tmp_path / "hues", noise=120)], crop=32), _vit()
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    random_state = torch.random.get_rng_state()
    for training in (True, False):
        vit.train(training)
        first = probe({"": vit}, device=CPU)
        assert all(module.training is training for module in vit.modules())
        assert probe({"": vit}, device=CPU) == first
    assert all(torch.equal(value, before[name]) for name, value in vit.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_the_next_step_still_learns(tmp_path: Path) -> None:
    """Nothing made while probing (cached positions, inference tensors) reaches the backward."""
    probe, vit = Probe([_write(tmp_path / "hues", train=2, val=1)], crop=24), _vit().eval()
    probe({"": vit}, device=CPU)
    vit(torch.zeros(1, 3, 24, 24)).sum().backward()
    assert vit.pos_embed.grad is not None


def test_lower_precision_is_autocast(tmp_path: Path) -> None:
    probe, vit = Probe([_write(tmp_path / "hues", train=2, val=1)], crop=32), _vit()
    seen = []
    linears = [module for module in vit.modules() if isinstance(module, torch.nn.Linear)]
    for linear in linears:
        linear.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    for dtype in (torch.float32, torch.bfloat16):
        probe({"": vit}, device=CPU, dtype=None if dtype == torch.float32 else dtype)
        assert set(seen) == {dtype}
        seen.clear()


def test_students_have_columns_of_their_own(tmp_path: Path) -> None:
    probe = Probe([_write(tmp_path / "hues", noise=160)], crop=32)
    students = {"vit_small/": _vit(0), "vit_base/": _vit(1)}
    found = probe(students, device=CPU)
    assert list(found) == ["probe/vit_small/hues", "probe/vit_base/hues"]
    for name, vit in students.items():
        assert probe({"": vit}, device=CPU) == {"probe/hues": found[f"probe/{name}hues"]}


def test_several_sets_at_once(tmp_path: Path) -> None:
    roots = [_write(tmp_path / name, train=3, val=2) for name in ("a", "b")]
    assert list(Probe(roots, crop=32)({"": _vit()}, device=CPU)) == ["probe/a", "probe/b"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 40))
def test_a_subset_is_small_and_balanced(sizes: list[int], limit: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    split = Split(tuple(Path(str(i)) for i in range(len(labels))), labels)
    part = subset(split, limit=limit)
    chosen = [int(path.name) for path in part.images]
    assert len(chosen) == min(limit, len(labels)) or len(chosen) < limit
    assert chosen == sorted(set(chosen))
    assert part.labels.tolist() == [labels[i] for i in chosen]
    counts = np.bincount(part.labels, minlength=len(sizes))
    if limit < len(labels) and limit >= len(sizes):
        assert counts.tolist() == [min(n, limit // len(sizes)) for n in sizes]


def test_a_subset_by_hand() -> None:
    split = Split(tuple(Path(c) for c in "abcdefgh"), np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    part = subset(split, limit=4)
    assert [path.name for path in part.images] == ["a", "d", "g", "h"]
    assert part.labels.tolist() == [0, 0, 1, 1]


def test_unreadable_images_are_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = _write(tmp_path / "hues")
    (root / "train" / "red" / "0.png").write_bytes(b"no image")
    probe = Probe([root], crop=32)
    assert probe({"": _vit()}, device=CPU) == {"probe/hues": 1.0}
    assert "not_an_image" in caplog.text


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Probe([tmp_path / "none"], crop=32)
    root = _write(tmp_path / "hues", train=1, val=1)
    with pytest.raises(InputError, match="a second hues"):
        Probe([root, root], crop=32)
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of 3"):
        Probe([root], crop=32)
