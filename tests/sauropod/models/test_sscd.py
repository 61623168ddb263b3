"""SSCD network: pooling by hand, torchvision's names and sizes, whitening."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sauropod.config import SscdArch
from sauropod.models import sscd

TINY = SscdArch(trunk="resnet18", width=8, dim=16)


def images(count: int = 2, side: int = 40) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def tiny() -> sscd.Sscd:
    """A network whose zero-initialised scales were set, so that every layer counts."""
    model = sscd.create(TINY, seed=0).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def test_gem_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]])
    expected = ((1 + 8 + 27 + 1e-18) / 4) ** (1 / 3)
    assert sscd.gem(x, p=3).item() == pytest.approx(expected, rel=1e-6)
    assert sscd.gem(x.relu(), p=1).item() == pytest.approx(1.5, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(p=st.floats(1, 10), seed=st.integers(0, 99))
def test_gem_lies_between_mean_and_maximum(p: float, seed: int) -> None:
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) + 0.01
    found = sscd.gem(x, p=p)
    assert (found >= x.mean(dim=(2, 3)) * (1 - 1e-4)).all()
    assert (found <= x.amax(dim=(2, 3)) * (1 + 1e-4)).all()


@pytest.mark.parametrize(
    ("trunk", "parameters"),
    # torchvision's published counts with a 1000-way classifier.
    # Of ResNeXt-101 it has only wider ones: 32x4d is 44,177,704 by its paper's authors.
    [("resnet18", 11_689_512), ("resnet50", 25_557_032), ("resnext101", 44_177_704)],
)
def test_size_of_torchvisions_networks(trunk: str, parameters: int) -> None:
    with torch.device("meta"):
        model = sscd.Sscd(SscdArch(trunk=trunk, dim=1000))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_names_of_torchvisions_networks() -> None:
    with torch.device("meta"):
        names = sscd.Sscd(SscdArch()).state_dict()
    assert tuple(names["layer3.0.conv2.weight"].shape) == (256, 256, 3, 3)
    assert tuple(names["layer4.0.downsample.0.weight"].shape) == (2048, 1024, 1, 1)
    assert {"bn1.num_batches_tracked", "layer1.0.downsample.1.running_var"} <= names.keys()
    assert len(names) == 320  # as torchvision.models.resnet50().state_dict()


def test_matches_transformers_resnet() -> None:
    """The trunk against an independent implementation with the same weights."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[32, 64, 128, 256],
        depths=[3, 4, 6, 3],
        layer_type="bottleneck",
    )
    theirs = transformers.ResNetModel(config).eval()
    ours = sscd.create(SscdArch(width=8, dim=4), seed=3).eval()
    state = {}
    for name, value in ours.state_dict().items():
        if name.startswith("fc"):
            continue
        parts = name.split(".")
        kinds = {"conv": "convolution", "bn": "normalization"}
        if parts[0] in ("conv1", "bn1"):
            new = f"embedder.embedder.{kinds[parts[0][:-1]]}.{parts[1]}"
        else:
            start = f"encoder.stages.{int(parts[0][-1]) - 1}.layers.{parts[1]}"
            if parts[2] == "downsample":
                kind = ("convolution", "normalization")[int(parts[3])]
                new = f"{start}.shortcut.{kind}.{parts[4]}"
            else:
                kind = kinds[parts[2][:-1]]
                new = f"{start}.layer.{int(parts[2][-1]) - 1}.{kind}.{parts[3]}"
        if name.endswith("bn3.weight"):
            value.fill_(0.5)
        state[new] = value
    theirs.load_state_dict(state)
    x = images(2, 64)
    with torch.no_grad():
        pooled = sscd.gem(theirs(x).last_hidden_state, p=3)
        expected = nn.functional.normalize(ours.fc(pooled))
        torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-4)


def test_descriptors_have_length_one_and_ignore_the_batch() -> None:
    model, x = tiny(), images(4)
    with torch.no_grad():
        found = model(x)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
        torch.testing.assert_close(model(x[2:3]), found[2:3], atol=1e-6, rtol=1e-4)


def test_initialisation_is_seeded_and_blocks_start_as_identity() -> None:
    a, b, c = (sscd.create(TINY, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert not torch.equal(a["conv1.weight"], c["conv1.weight"])
    assert (a["layer2.1.bn2.weight"] == 0).all()
    assert (a["layer2.1.bn1.weight"] == 1).all()
    assert (a["bn1.running_var"] == 1).all()


def test_whitening_against_the_definition() -> None:
    """Outputs are centred; without shrinkage their covariance is the identity."""
    model = sscd.create(SscdArch(trunk="resnet18", width=8, dim=4), seed=0).eval()
    inputs = torch.randn(500, 64, generator=torch.Generator().manual_seed(0)) + 3
    outputs = model.fc(inputs).detach()
    sscd.whiten(model, outputs, shrinkage=0.0)
    found = model.fc(inputs).detach()
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(found.t()), torch.eye(4), atol=1e-3, rtol=0)


def test_shrinkage_by_hand() -> None:
    """One dimension of variance 1, mean 2: (y - 2) / sqrt(1 + 3)."""
    model = sscd.create(SscdArch(trunk="resnet18", width=8, dim=1), seed=0).eval()
    inputs = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    before = model.fc(inputs).detach()
    sscd.whiten(model, torch.tensor([[1.0], [2.0], [3.0]]), shrinkage=3.0)
    torch.testing.assert_close(model.fc(inputs).detach(), (before - 2) / 2)
