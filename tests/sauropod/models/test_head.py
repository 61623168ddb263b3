"""The projection head against golden numbers and PyTorch's own weight norm."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sauropod.models.head import Head, Prototypes, build_heads
from sauropod.train.config import Heads

Golden = Callable[[str], dict[str, Tensor]]


def test_head_matches_the_reference(golden: Golden) -> None:
    g = golden("dino_head")
    head = Head(in_dim=64, num_prototypes=96, hidden_dim=48, bottleneck_dim=32)
    head.load_state_dict({k[3:]: v for k, v in g.items() if k.startswith("sd/")}, strict=True)
    x = g["x"].requires_grad_()
    y = head(x)
    torch.testing.assert_close(y, g["y"], atol=2e-5, rtol=0)
    (y * g["w"]).sum().backward()
    torch.testing.assert_close(x.grad, g["grad/x"], atol=5e-4, rtol=0)
    for name, parameter in head.named_parameters():
        torch.testing.assert_close(parameter.grad, g[f"grad/{name}"], atol=5e-4, rtol=0)


def test_prototypes_are_pytorchs_weight_norm() -> None:
    ours = Prototypes(bottleneck_dim=4, num_prototypes=6)
    theirs = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6, bias=False))
    with torch.no_grad():
        ours.weight_g.copy_(torch.linspace(0.5, 2, 6)[:, None])
        ours.weight_v.copy_(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(x), theirs(x))


def test_fresh_heads_are_keyed_and_bounded() -> None:
    knobs = Heads(num_prototypes=32, bottleneck_dim=8, hidden_dim=16, ibot_num_prototypes=24,
                  ibot_bottleneck_dim=4)  # fmt: skip
    before = torch.get_rng_state()
    first, second = (build_heads(knobs, embed_dim=12, seed=3) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert list(first) == ["dino_head", "ibot_head"]
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    scores = first["ibot_head"](torch.randn(5, 12, generator=torch.Generator().manual_seed(0)))
    assert scores.shape == (5, 24)
    assert (scores.abs() <= 1 + 1e-6).all()  # cosines, while every gain is 1
    shared = Heads(num_prototypes=32, bottleneck_dim=8, hidden_dim=16, separate_ibot=False)
    assert list(build_heads(shared, embed_dim=12)) == ["dino_head"]
