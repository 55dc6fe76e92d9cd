"""Shapes, exportability and equations of the blocks."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from fcmrt.export import layers  # noqa: E402


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (layers.ResidualBlock(6, 6), (6, 9, 7)),
        (layers.ResidualBlock(6, 8), (8, 9, 7)),
        (layers.ResidualBlockWithStride(6, 8), (8, 5, 4)),
        (layers.ResidualBlockWithStride(6, 8, stride=1, gdn=False), (8, 9, 7)),
        (layers.ResidualBlockUpsample(6, 8), (8, 18, 14)),
        (layers.ResidualBlockUpsample(6, 8, gdn=False), (8, 18, 14)),
        (layers.AttentionBlock(6), (6, 9, 7)),
        (layers.subpixel_conv(6, 4, 2), (4, 18, 14)),
        (layers.GDN(6), (6, 9, 7)),
    ],
)
def test_shape(block: torch.nn.Module, shape: tuple[int, ...]) -> None:
    assert block(torch.randn(2, 6, 9, 7)).shape == (2, *shape)


def test_gdn_is_the_published_equation() -> None:
    block = layers.GDN(3)
    with torch.no_grad():
        block.beta.copy_(torch.tensor([1.0, 0.5, -3.0]))
        block.gamma.copy_(torch.rand(3, 3))
    x = torch.randn(1, 3, 4, 4)
    beta = torch.tensor([1.0, 0.25, block.beta_min])
    norm = torch.sqrt(beta[:, None, None] + torch.einsum("ij,njhw->nihw", block.gamma**2, x**2))
    for training in (True, False):
        block.train(training)
        torch.testing.assert_close(block(x), x / norm)
    block.inverse = True
    torch.testing.assert_close(block(x), x * norm)


@pytest.mark.parametrize("inverse", [False, True])
def test_folded_gdn_computes_the_same(inverse: bool) -> None:
    torch.manual_seed(0)
    gdn = layers.GDN(3, inverse)
    with torch.no_grad():
        gdn.gamma.copy_(torch.randn(3, 3) * 0.3)  # some below the bound
        gdn.beta.copy_(torch.tensor([1.5, -0.5, 0.7]))
    module = torch.nn.Sequential(layers.conv(3, 3), torch.nn.Sequential(gdn)).eval()
    folded = layers.fold_gdn(module)
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(folded(x), module(x))
    torch.testing.assert_close(layers.fold_gdn(gdn.eval())(x), gdn(x))
    assert module[1][0] is gdn
    assert not any(isinstance(part, layers.GDN) for part in folded.modules())


def test_lower_bound_lets_values_come_back() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    (-layers.lower_bound(x, 0.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, -1.0]  # descent would raise both
    x.grad = None
    layers.lower_bound(x, 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]  # descent would lower both: only the free one moves


def test_blocks_export_to_plain_operators(tmp_path) -> None:
    block = torch.nn.Sequential(
        layers.ResidualBlockWithStride(4, 6),
        layers.AttentionBlock(6),
        layers.ResidualBlockUpsample(6, 4),
    ).eval()
    path = tmp_path / "block.onnx"
    torch.onnx.export(block, (torch.randn(1, 4, 8, 8),), str(path), dynamo=True, verbose=False)
    model = onnx.load(str(path))
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
