"""Window attention: windows, shifts, masks, and graphs for any size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fcmrt.export.onnx import export_graph
from fcmrt.export.swin import (
    APART,
    MixedBlock,
    SwinBlock,
    SwinGate,
    WindowAttention,
    merge,
    partition,
)

windows = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))


@settings(max_examples=30, deadline=None)
@given(windows)
def test_windows_are_cut_row_by_row_and_put_back(drawn: tuple[int, int, int, int]) -> None:
    side, rows, columns, n = drawn
    x = torch.arange(n * rows * columns * side**2 * 2.0).reshape(n, rows * side, columns * side, 2)
    cut = partition(x, side)
    assert cut.shape == (n * rows * columns, side**2, 2)
    row, column = rows - 1, columns // 2
    one = x[n - 1, row * side :, column * side : (column + 1) * side]
    at = (n - 1) * rows * columns + row * columns + column
    assert torch.equal(cut[at], one.reshape(-1, 2))
    assert torch.equal(merge(cut, side, x), x)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 3))
def test_the_mask_parts_cells_of_opposite_edges(side: int, rows: int, columns: int) -> None:
    """Two cells of a window that are as far from each other in the map see each other."""
    attention = WindowAttention(2, 2, side, shifted=True)
    mask = attention.mask(rows, columns)
    assert mask.shape == (rows, columns, 1, side**2, side**2)
    height, width, shift = rows * side, columns * side, side // 2
    at = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    rolled = torch.roll(at.reshape(1, height, width, 2), (-shift, -shift), (1, 2))
    cells = partition(rolled, side).reshape(rows, columns, 1, side**2, 2)
    within = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    apart = cells[..., :, None, :] - cells[..., None, :, :] != within[:, None] - within
    near = ~apart.any(-1)
    assert torch.equal(mask == 0, near)
    assert bool((mask[~near] <= APART).all())


@pytest.mark.parametrize("shifted", [False, True])
def test_a_cell_sees_its_window_and_no_more(shifted: bool) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(4, 2, 4, shifted)
    x = torch.randn(1, 8, 12, 4)
    changed = x.clone()
    changed[0, 5, 6] += 1
    with torch.no_grad():
        differs = (attention(x) != attention(changed)).any(-1)[0]
    rows, columns = (slice(2, 6), slice(6, 10)) if shifted else (slice(4, 8), slice(4, 8))
    seen = torch.zeros(8, 12, dtype=torch.bool)
    seen[rows, columns] = True
    assert torch.equal(differs, seen)


def test_edges_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(4, 2, 4, shifted=True)
    x = torch.randn(1, 8, 8, 4)
    changed = x.clone()
    changed[0, 0, 0] += 1
    with torch.no_grad():
        differs = (attention(x) != attention(changed)).any(-1)[0]
    assert differs[:2, :2].all()
    assert int(differs.sum()) == 4


def blocks() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [
        MixedBlock(8, 4, 4, shifted=False),
        MixedBlock(8, 4, 4, shifted=True),
        SwinGate(16, 8, 4, 2),
    ]


@pytest.mark.parametrize("at", range(3), ids=["straight", "shifted", "gate"])
def test_graphs_take_any_size(at: int) -> None:
    block = blocks()[at].eval()
    graph = export_graph(block, [torch.zeros(1, 16, 8, 8)], ["x"], ["out"], half_weights=False)
    operators = {node.op_type for node in onnx.load_from_string(graph).graph.node}
    assert not operators & {"Einsum", "If", "Loop", "Scan", "NonZero", "Where", "GatherND"}
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for rows, columns in [(4, 4), (4, 12), (16, 8)]:
        x = torch.randn(1, 16, rows, columns)
        with torch.no_grad():
            wanted = block(x).numpy()
        (found,) = session.run(["out"], {"x": x.numpy()})
        np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("at", range(3), ids=["straight", "shifted", "gate"])
def test_pictures_of_a_batch_do_not_see_each_other(at: int) -> None:
    block = blocks()[at].eval()
    x = torch.randn(3, 16, 8, 4)
    with torch.no_grad():
        together = block(x)
        alone = torch.cat([block(one[None]) for one in x])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_training_reaches_every_weight() -> None:
    torch.manual_seed(0)
    block = SwinBlock(8, 4, 4, shifted=True)
    block(torch.randn(1, 8, 8, 8)).square().sum().backward()

    def moved(parameter: Tensor) -> bool:
        return parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)

    assert all(moved(p) for p in block.parameters())
