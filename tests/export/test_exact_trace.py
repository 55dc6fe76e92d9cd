"""Which modules are understood, and how the others are refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fcmrt.errors import EngineError
from fcmrt.export.exact import ExactInput, convert
from fcmrt.export.exact.floatlayers import evaluate
from fcmrt.export.exact.trace import trace
from fcmrt.export.layers import GDN


class Everything(nn.Module):
    """One of each layer and function that is understood."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.act = nn.ModuleList([nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-2, 3), nn.PReLU(2)])
        self.nothing = nn.Sequential(nn.Identity(), nn.Dropout())
        self.twice = nn.LeakyReLU(0.25)

    def forward(self, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        x = self.up(self.nothing(self.conv(x)))
        a, b, c, d = x.chunk(4, 1)
        e, f = torch.split(x, [3, 5], dim=1)
        parts = [act(part) for act, part in zip(self.act, (a, b, c, d), strict=True)]
        joined = self.shuffle(torch.cat(parts, dim=1))
        joined = torch.cat([joined, other[:, 1:3]], 1)
        leaky = self.twice(nn.functional.leaky_relu(e, 0.1)) + self.twice(f[:, :3])
        sums = 1 - nn.functional.relu(leaky).clamp(max=0.5) * 3 / 2
        return joined[..., 1:-1, :5].contiguous(), nn.functional.hardtanh(sums - 0.25).float()


def test_layers_compute_what_the_module_computes() -> None:
    torch.manual_seed(0)
    module = Everything().eval()
    with torch.no_grad():
        module.act[3].weight.copy_(torch.tensor([0.3, -0.2]))
        x, other = torch.randn(2, 4, 6, 5), torch.randn(2, 3, 24, 20)
        layers, outputs = trace(module, [x, other], ["x", "other"])
        tensors = evaluate(layers, {"x": x, "other": other})
        for name, wanted in zip(outputs, module(x, other), strict=True):
            torch.testing.assert_close(tensors[name], wanted)


class OwnConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


class Parameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain.exp()


class PerCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.ones(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.places


class Function(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))  # type: ignore[operator]


def branching(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.GELU()), "'1' .GELU."),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()), "'1' .Sigmoid."),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), "'1' .BatchNorm2d."),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "reflect"),
        (nn.Conv2d(4, 4, 3, padding="same"), "same"),
        (nn.Sequential(OwnConv(4, 4, 1)), "OwnConv"),
        (nn.Sequential(nn.Linear(6, 6)), "Linear on anything but"),
        (nn.Sequential(nn.Conv2d(4, 4, 1), GDN(4)), "'1' .GDN."),
        (PerCell(), r"a constant of shape .6, 6., not per channel"),
        (Function(torch.softmax), "softmax|traced"),
        (Function(torch.sigmoid), "sigmoid"),
        (Function(lambda x: x * x), "mul of two tensors"),
        (Function(lambda x: x + x[:, :1]), "add of two tensors"),
        (Function(lambda x: 1 / x), "division by a tensor"),
        (Function(lambda x: torch.cat([x, x], 2)), "axis 2"),
        (Function(lambda x: x.chunk(2, 2)[0]), "rows or columns"),
        (Function(lambda x: x[:, 1]), "index"),
        (Function(lambda x: x[..., ::2, :]), "index"),
        (Function(branching), "cannot be traced"),
    ],
)
def test_what_is_not_known_is_refused_by_name(module: nn.Module, text: str) -> None:
    with pytest.raises(EngineError, match=text):
        trace(module, [torch.randn(1, 4, 6, 6)], ["x"])


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Function(lambda x: nn.functional.conv2d(x, x)), "conv2d"),
        (Function(lambda x: (x, x)), "returns 2 tensors, 1 were named"),
    ],
)
def test_networks_that_cannot_be_converted_are_refused(module: nn.Module, text: str) -> None:
    with pytest.raises(EngineError, match=text):
        convert(module, {"x": ExactInput()}, {"out": 0}, [torch.randn(1, 4, 6, 6)])


def test_a_network_may_take_any_number_of_inputs() -> None:
    class Joined(nn.Module):
        def forward(self, *parts: Tensor) -> Tensor:
            return torch.cat([a + b for a, b in zip(parts[::2], parts[1::2], strict=True)], 1)

    parts = list(torch.randn(4, 1, 2, 3, 3))
    names = ["a", "b", "c", "d"]
    layers, (output,) = trace(Joined(), parts, names)
    found = evaluate(layers, dict(zip(names, parts, strict=True)))[output]
    torch.testing.assert_close(found, Joined()(*parts))


def test_constants_are_taken_per_channel_and_may_be_computed() -> None:
    torch.manual_seed(0)
    module = Parameter()
    nn.init.uniform_(module.gain)
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        for made in (module, nn.Sequential(module, Function(lambda y: 1 - 2 * y))):
            layers, (output,) = trace(made, [x], ["x"])
            torch.testing.assert_close(evaluate(layers, {"x": x})[output], made(x))


def test_a_shuffle_across_layers_is_refused() -> None:
    class Straddling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)
            self.last = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            both = torch.cat([self.first(x), self.second(x)], 1)
            return self.last(nn.functional.pixel_shuffle(both, 2))

    with pytest.raises(EngineError, match="common scale"):
        convert(Straddling(), {"x": ExactInput()}, {"out": 0}, [torch.randn(1, 4, 6, 6)])
