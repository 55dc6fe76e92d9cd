"""The seam: both libraries are asked the same things in the same order, and told on."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

import pytest

from fcmrt.errors import BackendUnavailableError, ConfigError, DeviceError, PlanError
from fcmrt.gpu import Device
from fcmrt.plans import LIBRARIES, BuildOptions, PlanLibrary, Profile, Recipe, find_library
from fcmrt.tensorrt.library import TensorRT, TensorRTForRTX

from . import strict_tensorrt

DEVICE = Device("NVIDIA L4", "sm_89", 58, 13000)
FIXED = Profile(*({"x": (1, 4, 8, 12)},) * 3)
RANGE = Profile({"x": (1, 4, 2, 2)}, {"x": (1, 4, 8, 8)}, {"x": (1, 4, 16, 24)})


def recipe(**changes: Any) -> Recipe:
    made: dict[str, Any] = {
        "engine": "tiny",
        "graph": "analysis",
        "model": b"model",
        "profiles": (FIXED, RANGE),
        "target": "sm_89",
        "options": BuildOptions(),
    }
    return Recipe(**made | changes)


def make(rtx: bool) -> tuple[Any, PlanLibrary]:
    module = strict_tensorrt.make_module(rtx=rtx)
    return module, TensorRTForRTX(module) if rtx else TensorRT(module, lambda: DEVICE)


both = pytest.mark.parametrize("rtx", [False, True], ids=["tensorrt", "tensorrt-rtx"])


@both
def test_what_is_asked_for_is_built(rtx):
    _, library = make(rtx)
    options = BuildOptions(tf32=True, optimization_level=5, workspace_bytes=1 << 20)
    built = json.loads(library.build(recipe(options=options))[0])
    assert bytes.fromhex(built["model"]) == b"model"
    assert built["profiles"] == [FIXED.value(), RANGE.value()]
    assert (built["tf32"], built["level"], built["workspace"]) == (True, 5, 1 << 20)
    assert built.get("target") == ("SM89" if rtx else None)


@both
def test_defaults_are_the_library_s_but_for_tf32(rtx):
    _, library = make(rtx)
    built = json.loads(library.build(recipe())[0])
    assert (built["tf32"], built["level"], built["workspace"]) == (False, 3, None)


@both
def test_a_process_has_one_logger(rtx):
    module, library = make(rtx)
    another = TensorRTForRTX(module) if rtx else TensorRT(module, lambda: DEVICE)
    library.build(recipe())
    another.build(recipe())
    assert (module.builders, len(module.loggers)) == (2, 1)


@both
def test_refusal_of_the_parser_names_everything(rtx):
    module, library = make(rtx)
    refusal = strict_tensorrt.ParserError("/conv_3", "ConvInteger", "not\n  supported")
    module.OnnxParser.refusal = refusal
    with pytest.raises(PlanError) as caught:
        library.build(recipe())
    text = str(caught.value)
    for word in ("'tiny'", "'analysis'", "sm_89", "'/conv_3'", "ConvInteger", "not supported"):
        assert word in text
    assert f"{library.name} {library.version}" in text
    assert (caught.value.engine, caught.value.graph) == ("tiny", "analysis")
    assert caught.value.node == "/conv_3"


@both
def test_refusal_without_a_node(rtx):
    module, library = make(rtx)
    module.OnnxParser.refusal = strict_tensorrt.ParserError("", "", "bad weights")
    with pytest.raises(PlanError, match=r"cannot parse it: bad weights") as caught:
        library.build(recipe())
    assert caught.value.node is None
    module.OnnxParser.refusal = strict_tensorrt.ParserError("", "Conv", "bad weights")
    with pytest.raises(PlanError, match=r"at node 4, which has no name \(Conv\): bad weights"):
        library.build(recipe())


@both
def test_failure_of_the_builder_has_the_words_of_its_log(rtx):
    module, library = make(rtx)
    module.failure = "no kernel for this"
    with pytest.raises(PlanError, match=r"'analysis'.* does not build it: no kernel for this$"):
        library.build(recipe())
    module.failure = None
    library.build(recipe())
    module.OnnxParser.refusal = strict_tensorrt.ParserError("", "", "")
    with pytest.raises(PlanError, match="does not say why"):  # and not the words of before
        library.build(recipe())


@both
def test_shapes_that_the_library_refuses(rtx):
    _, library = make(rtx)
    backwards = Profile(RANGE.most, RANGE.best, RANGE.least)
    with pytest.raises(PlanError, match=r"refuses profile 1 .*inconsistent"):
        library.build(recipe(profiles=(FIXED, backwards)))
    with pytest.raises(PlanError, match="refuses profile 0"):
        library.build(recipe(profiles=(Profile({}, {}, {}),)))


def test_tensorrt_takes_timings_and_gives_them_back():
    _, library = make(rtx=False)
    assert library.keeps_timings
    first = library.build(recipe())[1]
    assert first == b"+"
    assert library.build(recipe(), first)[1] == b"++"


@pytest.mark.parametrize("timings", [b"other version's", b"unreadable"])
def test_timings_that_do_not_serve_are_left(timings):
    _, library = make(rtx=False)
    assert library.build(recipe(), timings)[1] == b"+"


def test_tensorrt_rtx_keeps_no_timings():
    _, library = make(rtx=True)
    assert not library.keeps_timings
    assert library.build(recipe())[1] == b""


def test_targets():
    assert make(rtx=True)[1].targets == ("sm_86", "sm_89", "sm_120")
    assert make(rtx=False)[1].targets == ("sm_89",)


@both
@pytest.mark.parametrize("target", ["sm_90", "SM89", "89", "", "sm_89 "])
def test_unknown_target_is_refused_with_those_that_are_known(rtx, target):
    _, library = make(rtx)
    library.check_target("sm_89")
    with pytest.raises(ConfigError) as caught:
        library.check_target(target)
    assert all(known in str(caught.value) for known in (repr(target), *library.targets))


def test_the_gpu_is_part_of_tensorrt_s_facts_only():
    assert make(rtx=True)[1].facts() == {"name": "tensorrt-rtx", "version": "11.4.0"}
    assert make(rtx=False)[1].facts() == {
        "name": "tensorrt",
        "version": "11.4.0",
        "device": "NVIDIA L4",
        "multiprocessors": 58,
        "driver": 13000,
    }


@pytest.fixture
def installed(monkeypatch):
    """Installs stand-ins, and nothing else, under the names told."""
    real = importlib.util.find_spec

    def install(*names: str) -> None:
        for library in LIBRARIES.values():
            name = library.module_name
            module = strict_tensorrt.make_module(rtx=library is TensorRTForRTX)
            monkeypatch.setitem(sys.modules, name, module if name in names else None)
        mine = {library.module_name for library in LIBRARIES.values()}
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: name in names if name in mine else real(name, *rest),
        )

    return install


def test_the_one_that_is_installed_is_found(installed):
    installed("tensorrt_rtx")
    assert find_library().name == "tensorrt-rtx"
    installed("tensorrt")
    assert find_library().name == "tensorrt"


def test_of_two_one_must_be_named(installed):
    installed("tensorrt", "tensorrt_rtx")
    with pytest.raises(ConfigError, match="both installed"):
        find_library()
    assert find_library("tensorrt-rtx").name == "tensorrt-rtx"


def test_what_is_missing_is_named_with_its_extra(installed):
    installed()
    with pytest.raises(BackendUnavailableError, match=r"fcmrt\[tensorrt-rtx\].*fcmrt\[tensorrt\]"):
        find_library()
    for name, library in LIBRARIES.items():
        with pytest.raises(BackendUnavailableError) as caught:
            find_library(name)
        assert f"pip install 'fcmrt[{library.extra}]'" in str(caught.value)
    with pytest.raises(ConfigError, match="tensorrt and tensorrt-rtx"):
        find_library("tensorflow")


def test_without_a_gpu_tensorrt_says_what_builds_without_one():
    def missing() -> Device:
        raise DeviceError("there is no NVIDIA driver here")

    library = TensorRT(strict_tensorrt.make_module(rtx=False), missing)
    with pytest.raises(DeviceError, match=r"no NVIDIA driver .*--library tensorrt-rtx"):
        library.check_target("sm_89")
