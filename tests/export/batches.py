"""Pictures that a graph is given together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from fcmrt import RuntimeOptions
from fcmrt.onnxgraph import read_graph
from fcmrt.runners.onnxrt import OnnxRuntimeRunner

PICTURES = 2
SCALE = 3.0  # of the inputs, so that there are other integers than 0
TIES = 1e-3  # share of a float network's integers that may be rounded the other way


def assert_takes_batches(
    name: str,
    graph: bytes,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    shared: Collection[str] = (),
    exact: bool = False,
) -> None:
    """Asserts that pictures which a graph is given together become what they become alone.

    Args:
        name: Of the graph, for messages.
        graph: The serialised model.
        shapes: Of the inputs of one picture.
        shared: Names of inputs that are one value for all pictures.
        exact: All bits must be the same; else floats within 1e-5 of the largest.
    """
    read = read_graph(graph, name)
    for port in (*read.inputs, *read.outputs):
        assert port.dims is not None
        assert port.dims[0] == (1 if port.name in shared else None), (name, port.name)
    network = OnnxRuntimeRunner(RuntimeOptions(threads=1)).load(name, graph, exact=exact)
    outputs = [port.name for port in read.outputs]
    rng = np.random.default_rng(0)
    pictures = [
        {
            key: (SCALE * rng.standard_normal(shape)).astype(np.float32)
            for key, shape in shapes.items()
        }
        for _ in range(PICTURES)
    ]
    same = {key: pictures[0][key] for key in shared}
    alone = [network.run({**picture, **same}, outputs) for picture in pictures]
    stacked = {key: np.concatenate([picture[key] for picture in pictures]) for key in shapes}
    together = network.run({**stacked, **same}, outputs)
    assert any(not np.array_equal(*parts) for parts in zip(*alone, strict=True)), name
    for output, found, *parts in zip(outputs, together, *alone, strict=True):
        wanted = np.concatenate(parts)
        assert found.shape == wanted.shape, (name, output)
        if exact:
            np.testing.assert_array_equal(found, wanted, f"{name}: {output}")
        elif wanted.dtype == np.float32:
            close = 1e-5 * np.abs(wanted).max()
            np.testing.assert_allclose(found, wanted, rtol=0, atol=close, err_msg=output)
        else:
            assert np.abs(found - wanted).max() <= 1, (name, output)
            assert np.count_nonzero(found != wanted) <= TIES * wanted.size, (name, output)
