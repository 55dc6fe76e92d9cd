"""What holds of every family: clean graphs, any size, batches, half floats, numbers only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from benchmarks.codec_samples import SAMPLES, Sample, features_of
from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import DTypeError, EngineError
from fcmrt.export.cleaning import assert_clean
from fcmrt.export.deployment import Deployment
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.exact.path import convert_path
from fcmrt.export.onnx import Precision
from fcmrt.export.reference import TorchReference
from fcmrt.export.variants import float_graphs, graph_inputs, in_precision
from fcmrt.spec import Padding
from fcmrt.verify import Configuration, verify

from .batches import assert_takes_batches

ONE = Configuration("one", RuntimeOptions(threads=1))


@dataclass(frozen=True)
class Case:
    """A sample, exported."""

    sample: Sample
    deployment: Deployment
    engine: Engine

    def features(self, rows: int, columns: int) -> dict[str, np.ndarray]:
        return features_of(self.sample, self.deployment, rows, columns)

    @property
    def side(self) -> int:
        """A whole number of cells in all networks."""
        return 2 * self.deployment.padding.multiple


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    deployment = with_half_weights(request.param.make())
    path = tmp_path_factory.mktemp("family") / "small.fcmrt"
    return Case(request.param, deployment, write(path, deployment, name="small"))


def test_symbols_are_those_of_the_torch_networks(case: Case) -> None:
    """Step by step, each given what the reference had before it."""
    sizes = [(case.side, case.side), (case.side - 3, case.side // 2 + 1)]
    found = verify(
        case.engine,
        [case.features(*size) for size in sizes],
        reference=TorchReference(case.deployment),
        configurations=[ONE],
        repeats=1,
    )
    of_networks = [stage for stage in found.stages if stage.configuration == "one"]
    assert not [stage.error for stage in of_networks if stage.error]
    symbols = [stage for stage in of_networks if stage.step.startswith("symbols ")]
    assert len(symbols) == len(case.engine.manifest.latents)
    integers = sum(stage.integers for stage in symbols)
    # A mean at a tie of its grid moves the symbol's own tie by half a unit of that grid.
    assert sum(stage.differing - stage.ties for stage in symbols) <= 1e-3 * integers
    for stage in of_networks:
        if stage.side == "decode" and stage.floats:
            assert stage.relative < 1e-4


def test_graphs_are_clean(case: Case) -> None:
    for name in case.engine.manifest.graphs:
        assert_clean(onnx.load_from_string(case.engine.graph(name)))


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_graphs_are_clean_in_another_precision(case: Case, precision: Precision) -> None:
    inputs = graph_inputs(case.engine, [case.features(case.side, case.side)], [1])
    made = in_precision(case.engine, precision, inputs=inputs)
    changed = float_graphs(made)
    assert changed
    for name in changed:
        assert made.graph(name) != case.engine.graph(name)
        assert_clean(onnx.load_from_string(made.graph(name)))


def as_padded(level: np.ndarray, sides: list[int], padding: Padding) -> np.ndarray:
    """A map `[C, H, W]` as the networks are to get it."""
    margins = []
    for have, side in zip(level.shape[1:], sides, strict=True):
        before = (side - have) // 2 if padding.align == "center" else 0
        margins.append((before, side - have - before))
    mirrored = all(
        max(margin) < have for margin, have in zip(margins, level.shape[1:], strict=True)
    )
    modes = {"zero": "constant", "reflect": "reflect" if mirrored else "edge"}
    return np.pad(level, ((0, 0), *margins), mode=modes[padding.mode])


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 37), (33, 1), (13, 9)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_any_size(case: Case, size: tuple[int, int]) -> None:
    """Maps of one row are padded by repeating, where they cannot be mirrored."""
    features = case.features(*size)
    walk = Encoder(case.engine).walk(features)
    padding, specs = case.engine.manifest.padding, case.engine.manifest.features
    for spec in specs:
        sides = [-(-side // padding.multiple) * padding.multiple // spec.stride for side in size]
        expected = as_padded(features[spec.name], sides, padding)
        np.testing.assert_array_equal(walk.tensors[spec.name][0], expected, spec.name)
    decoded = Decoder(case.engine).decode(Encoder(case.engine).code(walk))
    wanted = TorchReference(case.deployment).decode(walk)
    assert list(decoded) == list(features)
    top = left = 0
    for name, spec in zip(features, specs, strict=True):
        rows, columns = features[name].shape[1:]
        whole = wanted.tensors[case.engine.manifest.outputs[name]][0]
        if padding.align == "center":
            top, left = (whole.shape[1] - rows) // 2, (whole.shape[2] - columns) // 2
        part = whole[:, top : top + rows, left : left + columns]
        assert decoded[name].shape == (spec.channels, rows, columns)
        assert np.abs(decoded[name] - part).max() <= 1e-4 * np.abs(whole).max()


def test_symbols_are_not_all_alike(case: Case) -> None:
    """The samples are loud enough for the other tests to mean something."""
    walk = Encoder(case.engine).walk(case.features(case.side, case.side))
    for name, integers in walk.integers.items():
        assert np.unique(integers.symbols).size > 1, name


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_a_batch_is_its_pictures(case: Case, batch: int) -> None:
    pictures = [case.features(case.side, 11 + n) for n in range(batch)]
    sizes = {name: [p[name].shape for p in pictures] for name in pictures[0]}
    for name, shapes in sizes.items():  # all of one size, but different
        columns = max(shape[2] for shape in shapes)
        for picture in pictures:
            missing = columns - picture[name].shape[2]
            picture[name] = np.pad(picture[name], ((0, 0), (0, 0), (0, missing)), mode="wrap")
    stacked = {name: np.stack([p[name] for p in pictures]) for name in pictures[0]}
    encoder = Encoder(case.engine)
    packets = encoder.encode(stacked)
    assert [bytes(packet) for packet in packets] == [bytes(encoder.encode(p)) for p in pictures]
    assert len({bytes(packet) for packet in packets}) == batch
    for picture, decoded in zip(pictures, Decoder(case.engine).decode(packets), strict=True):
        assert {k: v.shape for k, v in decoded.items()} == {k: v.shape for k, v in picture.items()}


def input_shapes(deployment: Deployment, graph: str) -> dict[str, tuple[int, ...]]:
    """Those of one picture, higher than wide."""
    multiple = deployment.padding.multiple
    manifest = deployment.manifest(name="it", card={})
    size = (3 * multiple, 2 * multiple)
    return {name: manifest.shape(name, size) for name in deployment.runs[graph].inputs}


def test_a_graph_takes_several_pictures_at_a_time(case: Case) -> None:
    """The runtime gives it one; other users of the file need not."""
    for graph in case.engine.manifest.graphs:
        shapes = input_shapes(case.deployment, graph)
        shared = {case.deployment.quality.input} & set(shapes)
        assert_takes_batches(graph, case.engine.graph(graph), shapes, shared=shared)


def test_an_exact_graph_takes_several_pictures_at_a_time(case: Case) -> None:
    deployment = case.deployment
    picture = [level[None] for level in case.features(case.side, case.side).values()]
    if not case.sample.exact:
        with pytest.raises(EngineError, match="no exact form"):
            convert_path(deployment, [picture])
        return
    networks = convert_path(deployment, [picture])
    assert set(networks) == set(deployment.entropy_path)
    for graph, network in networks.items():
        shapes = input_shapes(deployment, graph)
        made = network.to_onnx()
        assert_clean(onnx.load_from_string(made))
        assert_takes_batches(graph, made, shapes, exact=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(case: Case, value: float) -> None:
    encoder = Encoder(case.engine)
    for name in case.features(1, 1):
        features = case.features(case.side, case.side)
        features[name][0, -1, -1] = value
        with pytest.raises(DTypeError, match=name):
            encoder.encode(features)


def test_half_floats_are_taken(case: Case) -> None:
    halves = {k: v.astype(np.float16) for k, v in case.features(case.side, case.side).items()}
    encoder = Encoder(case.engine)
    wide = encoder.encode({k: v.astype(np.float32) for k, v in halves.items()})
    assert bytes(encoder.encode(halves)) == bytes(wide)
