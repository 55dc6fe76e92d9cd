"""Maps padded, cropped, gathered and scattered on the device, against NumPy and `Elements`."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt.elements import Elements
from fcmrt.kernels.cuda import planes
from fcmrt.spec import LatentSpec, TensorSpec

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)

# Around the ends of float16: subnormals, ties, what is rounded to infinity.
EDGES = [
    0.0,
    -0.0,
    2**-24,
    2**-25,
    1.5 * 2**-25,
    2**-14,
    65504,
    65519.99,
    65520,
    1e9,
    2**-30,
    np.inf,
]


def maps(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(dtype)


def place(device, source, shape, dtype=np.float32, **arguments):
    target = device.empty(shape, dtype)
    planes.place_planes(device, device.upload(source), target, **arguments)
    return device.download(target)


@pytest.mark.parametrize(("edge", "mode"), [("reflect", "reflect"), ("replicate", "edge")])
@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (1, 2, 4, 3), (0, 6, 0, 1), (2, 0, 0, 4)])
def test_padding(device, edge, mode, margins):
    top, bottom, left, right = margins
    source = maps((2, 3, 7, 5))
    padded = np.pad(source, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode)
    found = place(device, source, padded.shape, top=top, left=left, edge=edge)
    np.testing.assert_array_equal(found, padded)


def test_cropping_and_zeros(device):
    source = maps((2, 3, 9, 8))
    np.testing.assert_array_equal(
        place(device, source, (2, 3, 4, 5), top=-2, left=-3), source[:, :, 2:6, 3:8]
    )
    found = place(device, source, (2, 3, 12, 6), top=1, left=-1)
    wanted = np.pad(source[:, :, :, 1:7], ((0, 0), (0, 0), (1, 2), (0, 0)))
    np.testing.assert_array_equal(found, wanted)


def test_float16_comes_in(device):
    found = place(device, HALVES.reshape(1, 1, 256, 256), (1, 1, 256, 256))
    wanted = HALVES.astype(np.float32)
    np.testing.assert_array_equal(found.reshape(-1).view(np.uint32), wanted.view(np.uint32))


def test_float16_goes_out(device):
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << 32, 6000, np.uint64).astype(np.uint32).view(np.float32)
    near = rng.normal(0, 2.0 ** rng.integers(-30, 18, 6000)).astype(np.float32)
    finite = HALVES[np.isfinite(HALVES)].astype(np.float64)
    between = (finite[:-1] + finite[1:])[::7] / 2
    bits = bits[~np.isnan(bits)]
    values = np.concatenate([bits, near, between, EDGES, np.negative(EDGES)]).astype(np.float32)
    found = place(device, values.reshape(1, 1, 1, -1), (1, 1, 1, len(values)), np.float16)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    np.testing.assert_array_equal(found.reshape(-1).view(np.uint16), wanted.view(np.uint16))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_where_it_is(device, bad):
    source = maps((3, 2, 4, 4))
    source[1, 1, 3, 2] = bad
    findings = device.zeros((3,), np.int32)
    place(device, source, (3, 2, 6, 6), findings=findings, top=1, left=1)
    assert device.download(findings).tolist() == [0, 1, 0]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (4, 6), (5, 4), (1, 7), (6, 1)])
@pytest.mark.parametrize("parity", [None, "even", "odd"])
@pytest.mark.parametrize("own", [False, True])
def test_elements(device, size, parity, own):
    """Of a tensor with the source's channels, and of one with the latent's own."""
    source = TensorSpec(5, 1, "float32")
    latent = LatentSpec("y", "t", "i", None, True, 0, channels=(1, 4), parity=parity)
    elements = Elements(latent, source, size)
    rows = [maps((1, 3 if own else 5, *size), seed) for seed in range(2)]
    capacity = elements.count + 3
    counts = device.upload(np.full(2, elements.count, np.uint32))
    taken = device.zeros((2, capacity), np.float32)
    tensor = device.upload(np.concatenate(rows))
    selection = planes.Selection(0 if own else 1, 3, parity)
    planes.gather_elements(device, tensor, selection, counts, taken)
    found = device.download(taken)
    for row, tensor in zip(found, rows, strict=True):
        np.testing.assert_array_equal(row[: elements.count], elements.take(tensor))
    target = device.empty((2, 5, *size), np.float32)
    planes.scatter_elements(device, taken, selection._replace(first=1), target)
    for row, tensor in zip(found, device.download(target), strict=True):
        np.testing.assert_array_equal(tensor[None], elements.put(row[: elements.count]))
