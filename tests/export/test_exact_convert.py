"""Float networks as integers: the same everywhere, close to what they came from, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fcmrt.errors import EngineError
from fcmrt.export.exact import ExactInput, IntegerNetwork, Precision, ScaleIndex, convert
from tests.exactness import assert_one_result, full_range, seeded

GRID_BITS = 6


class MaskedConv(nn.Conv2d):
    """A convolution that sees one parity of a checkerboard, in the way of CompressAI."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, padding=2)
        rows, columns = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
        self.register_buffer("mask", ((rows + columns) % 2).float().expand_as(self.weight).clone())

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class ParameterNetwork(nn.Module):
    """Shaped like ELIC's: hyper features, channel context, checkerboard context, aggregation."""

    def __init__(self) -> None:
        super().__init__()
        self.context = MaskedConv(6, 8)
        self.channels = nn.Sequential(nn.Conv2d(4, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 6, 1))
        self.aggregation = nn.Sequential(
            nn.Conv2d(22, 20, 1), nn.LeakyReLU(), nn.Conv2d(20, 16, 1), nn.PReLU(16)
        )
        self.skip = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.head = nn.Conv2d(16, 12, 1)

    def forward(self, hyper: Tensor, y_hat: Tensor, earlier: Tensor) -> tuple[Tensor, Tensor]:
        parts = [hyper, self.context(y_hat), self.channels(earlier)]
        x = self.aggregation(torch.cat(parts, 1))
        x = x + torch.relu(self.skip(x))
        mean, octaves = self.head(x).chunk(2, 1)
        return mean, octaves * 8 + 24


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(5, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.second(torch.relu(x)))


class Constants(nn.Module):
    """Constants of channels at every place: a median, gains of either sign, an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(5, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.register_buffer("medians", torch.tensor([0.3, -1.7, 0, 2, 90.25]).reshape(5, 1, 1))
        self.register_buffer("gains", torch.tensor([0.3, -0.2, 1, 0, 5, 2.5]).reshape(1, 6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x + self.medians)) * self.gains - 0.37
        return self.last(x) / 3 + 1


class Halves(nn.Module):
    """The two halves of a checkerboard, added and side by side, some channels of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(15, 4, 1)

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        whole = even + odd
        return self.last(torch.cat([torch.relu(self.first(whole[:, :6])), odd], 1))


class Deviations(nn.Module):
    """Means, and table indexes of predicted deviations, as third-party codecs have them."""

    def __init__(self, headroom: int = 0) -> None:
        super().__init__()
        self.conv, self.index = nn.Conv2d(5, 8, 3, padding=1), ScaleIndex(headroom=headroom)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, sigma = self.conv(x).chunk(2, 1)
        return mean, self.index(sigma.clamp(min=0.15))


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(5, 12, 3, padding=1)
        self.left = nn.Conv2d(4, 5, 3, padding=1)
        self.right = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = torch.split(self.first(x), [4, 8], dim=1)
        return self.left(torch.relu(a))[..., :-1, 1:], self.right(b.clamp(-0.5, 0.75))


NETWORKS = {
    "conv": lambda: nn.Conv2d(5, 7, 3, padding=1),
    "stride": lambda: nn.Conv2d(5, 7, 5, stride=2, padding=2, bias=False),
    "dilated": lambda: nn.Conv2d(5, 7, 3, padding=2, dilation=2),
    "depthwise": lambda: nn.Conv2d(5, 10, 3, padding=1, groups=5),
    "relu": lambda: nn.Sequential(nn.Conv2d(5, 9, 3, padding=1), nn.ReLU(), nn.Conv2d(9, 4, 1)),
    "relu6": lambda: nn.Sequential(nn.Conv2d(5, 9, 3, padding=1), nn.ReLU6(), nn.Conv2d(9, 4, 1)),
    "tanh": lambda: nn.Sequential(nn.Conv2d(5, 9, 1), nn.Hardtanh(), nn.Conv2d(9, 4, 1)),
    "leaky": lambda: nn.Sequential(nn.Conv2d(5, 9, 3), nn.LeakyReLU(0.2), nn.Conv2d(9, 4, 1)),
    "prelu": lambda: nn.Sequential(nn.Conv2d(5, 9, 3), nn.PReLU(9, 0.3), nn.Conv2d(9, 4, 1)),
    "linear activation": lambda: nn.Sequential(nn.Conv2d(5, 9, 1), nn.Conv2d(9, 4, 3)),
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(5, 8, 5, 2, 2, output_padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)
    ),
    "transposed groups": lambda: nn.ConvTranspose2d(5, 10, 4, 2, 1, groups=5),
    "shuffle": lambda: nn.Sequential(
        nn.Conv2d(5, 16, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(4, 3, 1)
    ),
    "shuffled head": lambda: nn.Sequential(nn.Conv2d(5, 36, 1), nn.PixelShuffle(3)),
    "linear": lambda: nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 4)),
    "relu output": lambda: nn.Sequential(nn.Conv2d(5, 9, 3, padding=1), nn.ReLU()),
    "leaky output": lambda: nn.Sequential(nn.Conv2d(5, 9, 3, padding=1), nn.LeakyReLU(0.25)),
    "constants": Constants,
    "residual": Residual,
    "parts": Parts,
}


def made(kind: str, bits: int = 0, **options: int) -> tuple[nn.Module, IntegerNetwork]:
    """A float network of a kind and its exact form."""
    torch.manual_seed(3)
    module = NETWORKS[kind]().eval()
    outputs = {"mean": GRID_BITS} | ({"more": 0} if kind == "parts" else {})
    shape = (4096, 5) if kind == "linear" else (6, 5, 12, 12)
    calibration = seeded([shape], 2.0**-bits)
    precision = Precision(**options)
    return module, convert(
        module, {"x": ExactInput(bits, 255)}, outputs, calibration, precision=precision
    )


def size_of(kind: str, size: tuple[int, int]) -> tuple[int, ...]:
    return () if kind == "linear" else size


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_executor_gives_the_same_integers(kind: str) -> None:
    _, network = made(kind)
    for seed, size in enumerate([(9, 7), (5, 16), (6, 6)]):
        assert_one_result(network, full_range(network, size_of(kind, size), seed))


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_close_to_the_float_network(kind: str) -> None:
    module, network = made(kind)
    shape = (64, 5) if kind == "linear" else (4, 5, 13, 11)
    (x,) = seeded([shape], 1.0, seed=1)
    with torch.no_grad():
        wanted = module(x)
        found = network(x.double())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    grids = [2.0**-GRID_BITS, 1.0]
    for ours, theirs, grid in zip(found, wanted, grids, strict=False):
        assert ours.shape == theirs.shape
        error = (ours * grid - theirs).square().mean().sqrt()
        # Rounding to the grid alone makes 0.29 of it.
        assert error < 0.4 * grid + 0.01 * theirs.std()


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_proof_holds_and_is_no_more_than_the_export_reckoned(kind: str) -> None:
    _, network = made(kind)
    proof = network.proof()
    for name, layer in network.sums().items():
        assert proof.layers[name] <= layer.bounds(network.limits[name]).max() < 2**24
        assert proof.factors[name].weight <= 2**11
        assert proof.factors[name].activation <= 2**11
        # The room that there is, in the sum or in the factors, is used.
        assert proof.layers[name] > 2**22 or proof.factors[name].weight > 2**10


def test_a_parameter_network_with_contexts() -> None:
    torch.manual_seed(0)
    module = ParameterNetwork().eval()
    inputs = {"hyper": ExactInput(4, 2047), "y_hat": ExactInput(5), "earlier": ExactInput(5, 1500)}
    shapes = [(4, 8, 10, 8), (4, 6, 10, 8), (4, 4, 10, 8)]
    calibration = seeded(shapes, 0.3)
    network = convert(module, inputs, {"mean": GRID_BITS, "index": 0}, calibration, name="p")
    network.proof()
    for seed, size in enumerate([(7, 9), (1, 1), (4, 5)]):
        assert_one_result(network, full_range(network, size, seed, scale=2.0**-3))
    with torch.no_grad():
        mean, index = module(*calibration)
        found = network(*calibration)
    # Rounding to the grid alone makes 0.25 of it.
    assert (found[0] / 2**GRID_BITS - mean).abs().mean() < 0.28 / 2**GRID_BITS + 0.01 * mean.std()
    assert (found[1] - index).abs().mean() < 0.28 + 0.01 * index.std()


def test_an_output_that_is_also_read_within_is_not_clipped() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.first(x)
            return y, self.second(y)

    torch.manual_seed(0)
    module = Both().eval()
    (x,) = seeded([(2, 3, 6, 6)], 1.0)
    network = convert(module, {"x": ExactInput()}, {"y": 12, "z": 4}, [x])
    with torch.no_grad():
        wanted = module.first(x) * 2**12
        assert wanted.abs().max() > 2**11
        assert (network(x)[0] - wanted).abs().max() < 32
    assert_one_result(network, full_range(network, (5, 4), 0))


def test_an_output_with_constants_that_is_also_read_within() -> None:
    """The constants are the output's alone."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            y = self.first(x)
            return y * 8 + 24, self.second(y), y[:, 1:]

    torch.manual_seed(0)
    module = Both().eval()
    (x,) = seeded([(2, 3, 6, 6)], 1.0)
    network = convert(module, {"x": ExactInput()}, {"a": 2, "b": 4, "c": 6}, [x])
    with torch.no_grad():
        for found, wanted, bits in zip(network(x), module(x), (2, 4, 6), strict=True):
            assert (found / 2**bits - wanted).abs().max() < 0.02 * wanted.abs().max()
    assert_one_result(network, full_range(network, (5, 4), 0))


def test_an_offset_far_beyond_the_values_needs_no_weighted_sum() -> None:
    class Far(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("gain", torch.tensor([1.5, -0.25, 1, 3, 0.7]).reshape(5, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.leaky_relu(x * self.gain - 4000, 0.5)

    (x,) = seeded([(2, 5, 6, 6)], 1.0)
    network = convert(Far(), {"x": ExactInput()}, {"out": 4}, [x])
    with torch.no_grad():
        error = (network(x)[0] / 16 - Far()(x)).abs().max()
    assert 0 < error < 2 * 4100 / 511
    assert_one_result(network, full_range(network, (6, 5), 1))


@pytest.mark.parametrize("headroom", [0, 12])
def test_deviations_become_indexes_by_a_table(headroom: int) -> None:
    torch.manual_seed(2)
    module = Deviations(headroom).eval()
    (x,) = seeded([(4, 5, 12, 12)], 1.0)
    network = convert(module, {"x": ExactInput()}, {"mean": 6, "index": 0}, [x])
    network.proof()
    with torch.no_grad():
        index = module(x)[1]
        wrong = (network(x)[1] - index).abs()
    assert index.max() - index.min() > 20
    assert wrong.max() < 1.5
    assert wrong[index > index.min()].mean() < 0.3  # rounding alone makes 0.25
    _, found = assert_one_result(network, full_range(network, (6, 5), 1))
    assert found.min() >= -headroom
    assert found.max() <= 63
    assert len(np.unique(found)) > 20


def test_floats_on_a_grid_go_from_network_to_network() -> None:
    """The second network's rounding takes nothing from what the first gives."""
    torch.manual_seed(4)
    first, second = NETWORKS["leaky"]().eval(), nn.Conv2d(4, 3, 3, padding=1).eval()
    with torch.no_grad():
        first[2].weight[1] *= 40  # channels of different range have different grids
    (x,) = seeded([(4, 5, 12, 12)], 1.0)
    one = convert(first, {"x": ExactInput()}, {"said": None}, [x], name="first")
    (said,) = one(x)
    grid = one.grids["said"]
    assert len(set(grid.bits)) > 1
    two = convert(second, {"said": grid}, {"out": 6}, [said], name="second")
    tensors = {"said": said}
    step, quantiser = two.steps[0], two.operations[0]
    assert step.name == "said/integers"
    integers = quantiser(tensors["said"])
    restored = integers * grid.units(4).reshape(1, 4, 1, 1).to(said)
    assert torch.equal(restored, said)  # on the grid, and within the limit
    with torch.no_grad():
        wanted = second(first(x))
        error = (two(said)[0] / 64 - wanted).square().mean().sqrt()
    assert error < 0.4 / 64 + 0.01 * wanted.std()
    (given,) = assert_one_result(one, full_range(one, (9, 7), 0))
    assert given.dtype == np.float32
    assert_one_result(two, {"said": given})


def test_halves_of_a_checkerboard_are_added_as_they_are() -> None:
    torch.manual_seed(1)
    module = Halves().eval()
    even, odd = seeded([(3, 7, 8, 8), (3, 7, 8, 8)], 0.25)
    places = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    even, odd = even * (1 - places), odd * places
    grid = ExactInput((4, 4, 4, 3, 4, 4, 5), 1023)
    network = convert(module, {"even": grid, "odd": grid}, {"out": 6}, [even, odd])
    added = dict(zip((s.name for s in network.steps), network.operations, strict=True))["add"]
    assert all(bool((factor == 1).all()) for factor in added.factors())
    with torch.no_grad():
        wanted = module(even, odd)
        error = (network(even, odd)[0] / 64 - wanted).square().mean().sqrt()
    assert error < 0.4 / 64 + 0.01 * wanted.std()
    assert_one_result(network, full_range(network, (5, 6), 0))


def test_batches_and_neighbours_do_not_matter() -> None:
    _, network = made("shuffle")
    (x,) = seeded([(3, 5, 8, 8)], 1.0, seed=4)
    with torch.no_grad():
        (together,) = network(x)
        apart = [network(row[None])[0] for row in x]
    np.testing.assert_array_equal(together.numpy(), torch.cat(apart).numpy())


def test_inputs_on_a_fine_grid_are_rounded_to_even_and_clipped() -> None:
    module = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(module.weight)
    network = convert(module, {"x": ExactInput(3, 40)}, {"out": 3}, [torch.randn(2, 1, 8, 8)])
    x = np.array([0.0625, 0.1875, -0.0625, 5.0, 6.0, -1000.0], np.float32).reshape(1, 1, 1, -1)
    (found,) = assert_one_result(network, {"x": x})
    assert found.ravel().tolist() == [0, 2, 0, 40, 40, -40]


def test_means_are_kept_by_the_correction_of_biases() -> None:
    module, network = made("relu", activation_bits=6)
    (x,) = seeded([(6, 5, 12, 12)], 1.0)
    with torch.no_grad():
        shift = (network(x)[0] / 2**GRID_BITS - module(x)).mean((0, 2, 3))
    assert shift.abs().max() < 2.0**-GRID_BITS / 8


def wide(inputs: int, outputs: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 5, padding=2))


@pytest.mark.parametrize("module", [wide(96), nn.ConvTranspose2d(96, 3, 5, 2, 2)])
def test_a_layer_over_the_bound_is_split(module: nn.Module) -> None:
    (x,) = seeded([(2, 96, 8, 8)], 1.0)

    def error(least_weight: int) -> tuple[IntegerNetwork, float]:
        precision = Precision(least_weight=least_weight)
        network = convert(module, {"x": ExactInput()}, {"out": 6}, [x], precision=precision)
        with torch.no_grad():
            return network, float((network(x)[0] / 64 - module(x)).square().mean().sqrt())

    whole, before = error(1)
    assert list(whole.sums()) == ["0"]
    network, after = error(64)
    parts = list(network.sums())
    assert parts[0].startswith("0/0-")
    assert len(parts) > 1
    assert after < before / 2
    network.proof()
    (found,) = assert_one_result(network, full_range(network, (6, 7), 0))
    assert np.abs(found).max() > 0


@pytest.mark.parametrize(
    ("module", "least"), [(wide(96), 2000), (nn.Conv2d(4, 4, 31, padding=15, groups=2), 500)]
)
def test_a_layer_that_splitting_does_not_help_is_refused(module: nn.Module, least: int) -> None:
    inputs = 96 if isinstance(module, nn.Sequential) else 4
    calibration = seeded([(1, inputs, 8, 8)], 1.0)
    with pytest.raises(EngineError, match=r"no exact form.*2\^24"):
        convert(
            module,
            {"x": ExactInput()},
            {"out": 4},
            calibration,
            precision=Precision(least_weight=least, most_parts=2),
        )


def test_silent_and_heavy_channels() -> None:
    """All weights 0, weights far apart, a bias only: bounds hold, and the integers agree."""
    module = nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1))
    with torch.no_grad():
        module[0].weight[0], module[0].bias[0] = 0, 3.5
        module[0].weight[1], module[0].bias[1] = 0, 0
        module[0].weight[2] *= 1e4
        module[0].weight[3] *= 1e-6
        module[2].weight[1] = 0
    (x,) = seeded([(3, 5, 9, 9)], 1.0)
    network = convert(module, {"x": ExactInput(0, 255)}, {"out": 2}, [x])
    network.proof()
    (found,) = assert_one_result(network, full_range(network, (5, 5), 2))
    wanted = round(float(module[2].bias[1].detach()) * 4)
    assert set(found[0, 1].ravel().tolist()) == {wanted}


@pytest.mark.parametrize(
    "options", [{"activation_bits": 3}, {"activation_bits": 12}, {"margin": 0.9}]
)
def test_precision_is_checked(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Precision(**options)


def test_limits_of_inputs_are_checked() -> None:
    with pytest.raises(ValueError, match="limit"):
        ExactInput(limit=5000)
