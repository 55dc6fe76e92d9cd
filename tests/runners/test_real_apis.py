"""The stand-ins against the real libraries: no class has a name that its model lacks."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fcmrt.tensorrt
from fcmrt.errors import DeviceError
from fcmrt.gpu import first_device
from fcmrt.plans import BuildOptions, PlanLibrary, Profile, Recipe

from .. import engines
from ..plans import strict_tensorrt
from ..plans.building import rtx
from . import strict_onnxruntime, strict_runtime
from .fake_cuda import FakeCuda

RUNTIME = ("ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache")
BUILDING = {
    "BuilderConfig": "IBuilderConfig",
    "RtxConfig": "IBuilderConfig",
    "DeviceConfig": "IBuilderConfig",
    "OptimizationProfile": "IOptimizationProfile",
    "OnnxParser": "OnnxParser",
    "ParserError": "ParserError",
    "TimingCache": "ITimingCache",
}


@pytest.fixture(scope="module")
def real() -> Any:
    return rtx()._trt


def public(kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in inspect.getmembers(kind)
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    }


def parameters(function: Any) -> list[list[str]]:
    """Names of the parameters of each overload, as pybind11 writes them into the docstring."""
    signatures = re.findall(rf"{function.__name__}\(self: [^,)]+(.*)\) -> ", function.__doc__ or "")
    return [re.findall(r"(?:^|, )(\w+): ", signature) for signature in signatures]


def stand_ins() -> list[tuple[type, str]]:
    module = strict_runtime.add_runtime(strict_tensorrt.make_module(rtx=True), FakeCuda(), rtx=True)
    found = [(module.Runtime, "Runtime"), (module.Builder, "Builder")]
    found.append((strict_runtime.RtxExecutionContext, "IExecutionContext"))
    return found + [(getattr(strict_runtime, name), name) for name in RUNTIME]


@pytest.mark.parametrize(("kind", "name"), stand_ins(), ids=lambda value: str(value))
def test_runtime_names_and_parameters(real: Any, kind: type, name: str) -> None:
    model = getattr(real, name)
    for key, value in public(kind).items():
        assert hasattr(model, key), f"{name} has no {key}"
        assert isinstance(value, property) == isinstance(getattr(model, key), property)
        if not isinstance(value, property):
            mine = list(inspect.signature(value).parameters)[1:]
            known = parameters(getattr(model, key))
            assert any(other[: len(mine)] == mine for other in known), (
                f"{name}.{key}({', '.join(mine)}) is none of {known}"
            )


def test_names_that_fcmrt_uses_while_building(real: Any) -> None:
    """The builder's stand-ins have names of their own beside; what fcmrt calls must exist."""
    folder = Path(inspect.getfile(fcmrt.tensorrt)).parent
    used = {
        node.attr
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    for mine, name in BUILDING.items():
        for key in public(getattr(strict_tensorrt, mine)).keys() & used:
            assert hasattr(getattr(real, name), key), f"{name} has no {key}"


@pytest.mark.parametrize(
    "name", ["TensorIOMode", "DataType", "DynamicShapesKernelSpecializationStrategy"]
)
def test_numbers_of_enumerations(real: Any, name: str) -> None:
    for member in getattr(strict_runtime, name):
        assert int(getattr(real, name).__members__[member.name]) == member.value


def test_names_of_onnx_runtime() -> None:
    import onnxruntime

    assert callable(onnxruntime.preload_dlls)
    assert "enable_fallback" in inspect.getsource(onnxruntime.InferenceSession.__init__)
    pairs = [
        (strict_onnxruntime.InferenceSession, onnxruntime.InferenceSession),
        (strict_onnxruntime.IOBinding, onnxruntime.IOBinding),
        (strict_onnxruntime.SessionOptions, onnxruntime.SessionOptions),
        (strict_onnxruntime.RunOptions, onnxruntime.RunOptions),
    ]
    for mine, model in pairs:
        for key, value in public(mine).items():
            assert hasattr(model, key), f"{model.__name__} has no {key}"
            if inspect.isfunction(getattr(model, key)):
                known = list(inspect.signature(getattr(model, key)).parameters)
                given = list(inspect.signature(value).parameters)
                assert known[: len(given)] == given, key


def built(library: PlanLibrary) -> bytes:
    shape = {"f": (1, 4, 8, 12)}
    recipe = Recipe(
        engine="tiny",
        graph="analysis",
        model=engines.tiny_factorized().graph("analysis"),
        profiles=(Profile(shape, shape, shape),),
        target="sm_89",
        options=BuildOptions(),
    )
    return library.build(recipe)[0]


def test_the_real_runtime_without_a_gpu_says_so() -> None:
    """As far as it goes here: the library is loaded, reads the plan, and wants a driver."""
    try:
        first_device()
    except DeviceError:
        pass
    else:
        pytest.skip("there is a GPU")
    library = rtx()
    with pytest.raises(DeviceError, match=r"the plan cannot be loaded: .*(CUDA|Cuda)"):
        library.load(built(library))


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="not installed there")
def test_noise_is_no_plan_to_the_real_runtime() -> None:
    with pytest.raises(DeviceError, match="the plan cannot be loaded"):
        rtx().load(b"noise" * 100)
