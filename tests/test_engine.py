"""Engine files: written, read back, and refused whenever they are not what they should be."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import pickle
import stat
import threading
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from onnx import TensorProto, helper

from fcmrt.engine import Engine
from fcmrt.engine_writer import pack_engine, write_engine
from fcmrt.errors import ConfigError, EngineError
from fcmrt.schedule import Run
from fcmrt.spec import TensorSpec, tensor_size

from .archives import members, rezip
from .engines import (
    EngineParts,
    context_parts,
    factorized_parts,
    gaussian_tables,
    hyperprior_parts,
    tiny_context,
    tiny_factorized,
    tiny_hyperprior,
)

ALL = [tiny_hyperprior, tiny_context, tiny_factorized]


@pytest.fixture(scope="module")
def packed() -> bytes:
    return hyperprior_parts().pack()


def refuse(data: bytes, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Engine.load(data)


# What works.


def test_write_and_load(tmp_path):
    parts = hyperprior_parts()
    path = tmp_path / "tiny.fcmrt"
    path.write_bytes(b"something older")
    written = write_engine(path, parts.manifest, parts.graphs, parts.tables)
    loaded = Engine.load(path)
    assert loaded.digest == written.digest == bytes.fromhex(loaded.digest_hex)
    assert loaded.manifest == written.manifest
    assert {name: loaded.graph(name) for name in loaded.manifest.graphs} == parts.graphs
    assert loaded.tables("gaussian").count == 64
    assert loaded.tables("hyper") is loaded.tables("hyper")
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with path.open("rb") as file:
        assert Engine.load(file).digest == loaded.digest
    for form in bytearray, memoryview:
        assert Engine.load(form(path.read_bytes())).digest == loaded.digest


def test_bytes_are_reproducible(packed):
    parts = hyperprior_parts()
    assert pack_engine(parts.manifest, parts.graphs, parts.tables) == packed
    engine = Engine.load(packed)
    graphs = {name: engine.graph(name) for name in engine.manifest.graphs}
    assert pack_engine(engine.manifest, graphs, parts.tables) == packed


def test_what_would_not_load_is_not_written(tmp_path):
    parts = hyperprior_parts()
    path = tmp_path / "tiny.fcmrt"
    graphs = {name: graph for name, graph in parts.graphs.items() if name != "synthesis"}
    with pytest.raises(EngineError, match="graph 'synthesis' is not declared"):
        write_engine(path, parts.manifest, graphs, parts.tables)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        Engine.load(path)


def test_any_zip_tool_opens_it(packed):
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        assert archive.read("graphs/analysis.onnx") == hyperprior_parts().graphs["analysis"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        repacked = rezip([(i.filename, archive.read(i)) for i in archive.infolist()])
    assert Engine.load(repacked).digest == Engine.load(packed).digest


def test_engines_can_be_pickled():
    engine = tiny_context()
    engine.shared("lock", threading.Lock)
    copy = pickle.loads(pickle.dumps(engine))
    assert copy.digest == engine.digest
    assert copy.manifest == engine.manifest
    assert repr(copy) == f"Engine('tiny-context', {engine.digest_hex[:16]})"


def test_engines_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_context().digest = b""


def test_shared_makes_once(packed):
    engine = Engine.load(packed)
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = {id(item) for item in pool.map(lambda _: engine.shared("key", make), range(64))}
    assert len(made) == len(found) == 1
    with pytest.raises(ZeroDivisionError):
        engine.shared("other", lambda: 1 // 0)
    assert engine.shared("other", lambda: 2) == 2


def test_builtin_refuses_names_that_are_none():
    for name in ("no-such-engine", "../assets/x", "", "a/b"):
        with pytest.raises(ConfigError, match="no built-in engine"):
            Engine.builtin(name)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("padded", [(16, 24), (4, 4), (20, 12)])
def test_small_engines_run_at_any_size(make, padded):
    ort = pytest.importorskip("onnxruntime")
    manifest = make().manifest
    rng = np.random.default_rng(7)
    specs = {feature.name: feature.tensor for feature in manifest.features} | dict(manifest.tensors)

    def random_tensor(spec: TensorSpec) -> Any:
        shape = (1, spec.channels, *tensor_size(spec, padded))
        return rng.normal(0, 8, shape).round().astype(spec.dtype)

    for step in (*manifest.encode, *manifest.decode):
        if not isinstance(step, Run):
            continue
        session = ort.InferenceSession(make().graph(step.graph), providers=["CPUExecutionProvider"])
        inputs = {name: random_tensor(specs[name]) for name in step.inputs}
        outputs = dict(zip(step.outputs, session.run(step.outputs, inputs), strict=True))
        for name, output in outputs.items():
            wanted = tensor_size(specs[name], padded)
            assert output.dtype == specs[name].dtype
            assert output.shape[1] == specs[name].channels
            assert all(got >= want for got, want in zip(output.shape[2:], wanted, strict=True))


# Manifest against graphs and tables.


def repack(parts: EngineParts, change: Callable[[Any], None]) -> bytes:
    """Packs with the manifest's JSON changed, digests kept true."""
    files = dict(members(parts.pack()))
    value = json.loads(files["manifest.json"])
    change(value)
    files["manifest.json"] = json.dumps(value).encode()
    return rezip(list(files.items()))


def test_wrong_digests_are_refused():
    def change(value: Any) -> None:
        value["graphs"]["analysis"]["sha256"] = hashlib.sha256(b"").hexdigest()

    refuse(repack(hyperprior_parts(), change), "graphs/analysis.onnx is not what the manifest says")


def test_the_digest_changes_with_any_member():
    def change(value: Any) -> None:
        value["card"]["note"] = "other"

    assert Engine.load(repack(hyperprior_parts(), change)).digest != tiny_hyperprior().digest


def test_manifest_errors_come_through():
    refuse(rezip([("manifest.json", b"[" * 10_000)]), "nested deeper than 32")
    refuse(rezip([("manifest.json", b"\xff")]), "not JSON in UTF-8")


def with_tables(parts: EngineParts, **tables: bytes) -> bytes:
    return pack_engine(parts.manifest, parts.graphs, {**parts.tables, **tables})


def test_table_counts_must_fit():
    refuse(
        with_tables(hyperprior_parts(), hyper=gaussian_tables([1.0] * 5)),
        "manifest.latents.z: 4 channels with a table each, but 'hyper' has 5 tables",
    )
    refuse(
        with_tables(factorized_parts(), factorized=gaussian_tables([1.0])),
        "6 channels with a table each, but 'factorized' has 1",
    )
    refuse(
        with_tables(context_parts(), gaussian=gaussian_tables([1.0] * 3)),
        "skip is 4; 'gaussian' has 3 tables",
    )


def test_damaged_tables_are_refused():
    refuse(with_tables(hyperprior_parts(), hyper=b"FCMT"), "tables/hyper.bin: ")


def with_graph(name: str, change: Callable[[Any], None]) -> bytes:
    parts = hyperprior_parts()
    model = onnx.load_from_string(parts.graphs[name])
    change(model)
    graphs = {**parts.graphs, name: model.SerializeToString()}
    return pack_engine(parts.manifest, graphs, parts.tables)


def rename_input(model: Any) -> None:
    model.graph.input[0].name = "other"


def rename_output(model: Any) -> None:
    model.graph.output[0].name = "other"


def more_channels(model: Any) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 13


def batch_of_two(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def rank_three(model: Any) -> None:
    del model.graph.output[0].type.tensor_type.shape.dim[3]


def float_output(model: Any) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def custom(model: Any) -> None:
    model.graph.node[0].domain = "evil"


def oversized(model: Any) -> None:
    model.graph.initializer[0].dims.append(1 << 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_input, r"encode\[3\].inputs: graph 'hyper_synthesis' takes other, not z_hat"),
        (rename_output, r"encode\[3\].outputs: graph 'hyper_synthesis' gives other, y_index, not"),
        (more_channels, r"encode\[3\]: 'y_mean' is \[1, 12, H, W\] in the manifest, but \[1, 13,"),
        (batch_of_two, r"'z_hat' is \[1, 4, H, W\] in the manifest, but \[2, 4, None, None\]"),
        (rank_three, r"'y_mean' is \[1, 12, H, W\] in the manifest, but \[1, 12, None\]"),
        (float_output, "'y_mean' is int32 in the manifest, but has the ONNX element type 1"),
        (external, "graph 'hyper_synthesis': .* keeps its data outside of the file"),
        (custom, "graph 'hyper_synthesis': .* is of the domain 'evil'"),
        (oversized, "graph 'hyper_synthesis': .* elements"),
    ],
)
def test_graphs_must_fit_the_manifest(change, message):
    refuse(with_graph("hyper_synthesis", change), message)


def test_graphs_may_give_more_than_a_step_asks_for():
    def add(model: Any) -> None:
        model.graph.node.append(helper.make_node("Abs", ["y_hat"], ["more"]))
        model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))

    Engine.load(with_graph("synthesis", add))


# The exact path.


def with_bounds(layers: dict[str, int]) -> bytes:
    parts = hyperprior_parts()
    manifest = dataclasses.replace(parts.manifest, exact={"hyper_synthesis": layers})
    return pack_engine(manifest, parts.graphs, parts.tables)


def test_bounds_must_follow_from_the_graph():
    known = dict(hyperprior_parts().manifest.exact["hyper_synthesis"])
    Engine.load(with_bounds(known))
    layer, bound = next(iter(known.items()))
    for wrong in bound - 1, bound + 1:
        refuse(
            with_bounds(known | {layer: wrong}),
            f"manifest.exact.hyper_synthesis: layer '{layer}' has the bound {wrong}, but {bound}",
        )
    refuse(with_bounds(known | {"other": 1}), "layer 'other' has the bound 1, but None")
    refuse(with_bounds({}), f"layer '{layer}' has the bound None, but {bound}")


def test_a_graph_that_is_not_exact_is_refused_in_an_exact_engine():
    def soften(model: Any) -> None:
        (clip,) = (node for node in model.graph.node if node.output[0] == "v1")
        clip.op_type = "Sigmoid"
        del clip.input[1:]

    refuse(with_graph("hyper_synthesis", soften), r"not exact: layer 'v1' \(Sigmoid\)")


def test_one_changed_weight_shows_in_the_bounds_or_in_the_digest():
    def change(model: Any) -> None:
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        array = onnx.numpy_helper.to_array(weights).copy()
        array.reshape(-1)[0] += 64
        weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))

    refuse(with_graph("hyper_synthesis", change), "follows from the graph")


def test_proofs_are_kept_with_the_engine():
    engine = pickle.loads(pickle.dumps(tiny_hyperprior()))
    graph, proof = engine.exact_graph("hyper_synthesis")
    assert dict(proof.layers) == engine.manifest.exact["hyper_synthesis"]
    assert {node.name for node in graph.nodes} >= set(proof.layers)
    assert engine.exact_graph("hyper_synthesis")[0] is graph
