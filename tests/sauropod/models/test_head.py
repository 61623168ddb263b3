"""The projection head against golden numbers and PyTorch's own weight norm."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sauropod.models.head import Head, Prototypes, Scores, build_heads
from sauropod.train.config import Heads

Golden = Callable[[str], dict[str, Tensor]]


def test_head_matches_the_reference(golden: Golden) -> None:
    g = golden("dino_head")
    head = Head(in_dim=64, num_prototypes=96, hidden_dim=48, bottleneck_dim=32)
    head.load_state_dict({k[3:]: v for k, v in g.items() if k.startswith("sd/")}, strict=True)
    x = g["x"].requires_grad_()
    scores = head(x)
    y = scores.features @ scores.prototypes.t()
    torch.testing.assert_close(scores.times(2.0), 2 * y)
    torch.testing.assert_close(y, g["y"], atol=1e-6, rtol=1e-5)
    (y * g["w"]).sum().backward()
    torch.testing.assert_close(x.grad, g["grad/x"], atol=1e-6, rtol=1e-4)
    for name, parameter in head.named_parameters():
        torch.testing.assert_close(parameter.grad, g[f"grad/{name}"], atol=1e-6, rtol=1e-4)


def test_prototypes_are_pytorchs_weight_norm() -> None:
    ours = Prototypes(bottleneck_dim=4, num_prototypes=6, train_gains=True)
    theirs = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6, bias=False))
    with torch.no_grad():
        ours.weight_g.copy_(torch.linspace(0.5, 2, 6)[:, None])
        ours.weight_v.copy_(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(x @ ours().t(), theirs(x))


def test_fresh_heads_are_keyed_and_bounded() -> None:
    knobs = Heads(num_prototypes=32, bottleneck_dim=8, hidden_dim=16, ibot_num_prototypes=24,
                  ibot_bottleneck_dim=4)  # fmt: skip
    before = torch.get_rng_state()
    first, second = (build_heads(knobs, embed_dim=12, seed=3) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert list(first) == ["dino_head", "ibot_head"]
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    scores = first["ibot_head"](x).times(1.0)
    assert scores.shape == (5, 24)
    assert (scores.abs() <= 1 + 1e-6).all()  # cosines, while every gain is 1
    shared = Heads(num_prototypes=32, bottleneck_dim=8, hidden_dim=16, separate_ibot=False)
    assert list(build_heads(shared, embed_dim=12)) == ["dino_head"]


def test_gains_may_be_fixed() -> None:
    fixed = build_heads(
        Heads(num_prototypes=8, separate_ibot=False, train_gains=False), embed_dim=4
    )
    assert {name for name, p in fixed.named_parameters() if not p.requires_grad} == {
        "dino_head.last_layer.weight_g"
    }


def test_scores_multiply_out_in_chunks_of_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = Scores(torch.randn(7, 3, generator=generator), torch.randn(5, 3, generator=generator))
    bias = torch.randn(5, generator=generator)
    whole = 0.5 * scores.features @ scores.prototypes.t() + bias
    torch.testing.assert_close(scores.times(0.5, plus=bias), whole)
    for max_bytes, rows in ((0, [7]), (4 * 5 * 3, [3, 3, 1]), (1, [1] * 7)):
        chunks = list(scores.chunks(max_bytes))
        assert [len(chunk.features) for chunk in chunks] == rows
        found = torch.cat([chunk.times(0.5, plus=bias) for chunk in chunks])
        torch.testing.assert_close(found, whole)
    half = Scores(scores.features.bfloat16(), scores.prototypes.bfloat16())
    assert half.times(0.5, plus=bias).dtype == torch.float32
    torch.testing.assert_close(half.times(0.5, plus=bias), whole, atol=0.03, rtol=0.03)
