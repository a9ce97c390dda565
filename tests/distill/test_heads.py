import pytest
import torch

from distill.config import HeadConfig
from distill.heads import (
    HashHead,
    LogitHead,
    RotatedHead,
    build_heads,
    head_output,
    random_rotation,
    standardise,
)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
@pytest.mark.parametrize("n_bits", [1, 8, 70])
def test_codes_lie_between_minus_one_and_one(kind: str, n_bits: int) -> None:
    torch.manual_seed(0)
    codes = head_output(HashHead(12, n_bits, kind).eval(), torch.randn(9, 12))
    assert codes.shape == (9, n_bits)
    assert codes.abs().max() < 1
    assert not codes.requires_grad


def test_the_scale_of_features_does_not_matter() -> None:
    head, x = HashHead(12, 8).eval(), torch.randn(9, 12)
    assert torch.allclose(head(x), head(x * 1000), atol=1e-6)


@pytest.mark.parametrize(("dim", "n_bits"), [(8, 8), (16, 5), (5, 16)])
def test_a_rotation_keeps_angles(dim: int, n_bits: int) -> None:
    rotation = random_rotation(dim, n_bits)
    assert rotation.shape == (dim, n_bits)
    gram = rotation.T @ rotation if dim >= n_bits else rotation @ rotation.T
    assert torch.allclose(gram, torch.eye(min(dim, n_bits)), atol=1e-5)


def test_a_rotated_head_embeds_and_rotates() -> None:
    head = RotatedHead(12, 5, dim=7).eval()
    head.rotation = random_rotation(7, 5)
    x = torch.randn(3, 12)
    floats = head_output(head, x, continuous=True)
    assert floats.shape == (3, 7)
    assert torch.allclose(floats.norm(dim=1), torch.ones(3), atol=1e-6)
    assert torch.allclose(head_output(head, x), floats @ head.rotation)


def test_saved_heads_are_rebuilt_exactly() -> None:
    heads = {"image": HashHead(12, 6, "linear", dropout=0.5), "text": RotatedHead(4, 6, dim=3)}
    heads["text"].rotation = random_rotation(3, 6)
    specs = {name: head.spec for name, head in heads.items()}
    tensors = {f"{n}.{k}": v for n, head in heads.items() for k, v in head.state_dict().items()}
    for name, rebuilt in build_heads(specs, tensors).items():
        x = torch.randn(5, specs[name]["in_dim"])
        assert not rebuilt.training
        assert torch.equal(head_output(rebuilt, x), head_output(heads[name].eval(), x))


def test_output_in_blocks_is_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    head, x = HashHead(12, 6).eval(), torch.randn(10, 12)
    whole = head_output(head, x)
    monkeypatch.setattr("distill.heads._ROWS", 3)
    assert torch.allclose(head_output(head, x), whole, atol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_a_logit_head_keeps_its_z_scores(kind: str) -> None:
    torch.manual_seed(0)
    views = 5 + 3 * torch.randn(20, 4, 6)
    views[..., 2] = 7  # a constant feature
    head = LogitHead(6, 12, kind, hidden=8)
    head.standardise(views)
    scaled = head.z_scored(views).reshape(-1, 6)
    assert torch.allclose(scaled.mean(dim=0), torch.zeros(6), atol=1e-5)
    wanted = torch.tensor([1, 1, 0, 1, 1, 1.0])
    assert torch.allclose(scaled.std(dim=0, correction=0), wanted, atol=1e-5)
    tensors = {f"student.{name}": value for name, value in head.state_dict().items()}
    again = build_heads({"student": head.spec}, tensors)["student"]
    assert torch.equal(again(views), head(views))
    assert again(views).shape == (20, 4, 12)
    assert head(views).abs().max() > 1  # logits: nothing bounds them


def test_the_net_of_skdch_is_a_sigmoid_of_tanh_on_z_scores() -> None:
    torch.manual_seed(0)
    head, x = HashHead(12, 6, "tanh", hidden=9).eval(), torch.randn(40, 12) * 3 + 5
    assert head.body[1].weight.abs().max() <= 0.2
    x[:, 3] = 7  # a constant feature
    standardise(head, x)
    z = (x - x.mean(dim=0)) / torch.where(
        x.std(dim=0, correction=0) > 0, x.std(dim=0, correction=0), 1
    )
    first, last = head.body[1], head.body[4]
    hidden = torch.tanh(z @ first.weight.T + first.bias)
    u = torch.sigmoid(hidden @ last.weight.T + last.bias)
    assert torch.allclose((1 + head(x)) / 2, u, atol=1e-5)
    assert torch.allclose(head.hidden(x), hidden, atol=1e-5)
    assert head.width == 9
    rebuilt = build_heads(
        {"image": head.spec}, {f"image.{k}": v for k, v in head.state_dict().items()}
    )
    assert torch.equal(rebuilt["image"](x), head(x))


@pytest.mark.parametrize("kind", ["mlp", "linear", "tanh"])
def test_a_head_is_its_hidden_layer_and_the_last(kind: str) -> None:
    head, x = HashHead(12, 6, kind, hidden=9).eval(), torch.randn(4, 12)
    assert torch.equal(head.from_hidden(head.hidden(x)), head(x))
    assert head.hidden(x).shape == (4, head.width)
    before = head(x)
    standardise(head, x)
    assert torch.equal(head(x), before) == (kind != "tanh")


def test_an_embedding_is_of_z_scores_too() -> None:
    torch.manual_seed(0)
    head, x = RotatedHead(12, 5, 7, "tanh", hidden=9).eval(), torch.randn(40, 12) * 3 + 5
    standardise(head, x)
    z = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    bare = head.body[1:](z)
    assert torch.allclose(head.embed(x), torch.nn.functional.normalize(bare, dim=1), atol=1e-5)


@pytest.mark.parametrize("made", [HashHead, RotatedHead, LogitHead])
def test_heads_have_the_defaults_of_the_configuration(made: type) -> None:
    config = HeadConfig()
    spec = made(12, 5).spec
    assert (spec["hidden"], spec["dropout"]) == (config.hidden, config.dropout)
