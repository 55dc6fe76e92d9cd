"""`doctor`: it says what is there, without loading it, and what is broken."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys

import pytest

import fcmrt
from fcmrt.cli import doctor
from fcmrt.errors import DeviceError
from fcmrt.gpu import Device
from fcmrt.runners import onnxrt_cuda

from ..runners import strict_onnxruntime
from ..runners.fake_cuda import FakeCuda
from ..runners.on_paper import DEVICE


@pytest.fixture
def no_round_trip(monkeypatch):
    trial = {"works": True, "engine": "none", "packet_bytes": 1}
    monkeypatch.setattr(doctor, "_round_trip", lambda: trial)


def test_json(run):
    code, out, err = run("doctor", "--json")
    found = json.loads(out)
    assert err == ""
    assert code == (0 if found["works"] else 1)
    assert found["versions"]["fcmrt"] == fcmrt.__version__
    assert found["versions"]["format"] == "0.1"
    assert "reference" in found["kernels"]["available"]
    assert found["kernels"]["active"] in found["kernels"]["available"]
    assert "CPUExecutionProvider" in found["providers"]
    assert set(found["libraries"]) == set(doctor.LIBRARIES)
    on_gpu = {"onnxruntime on cuda", "torch on cuda", "tensorrt on cuda"}
    assert set(found["runners"]) == {"onnxruntime", "torch", "reference", *on_gpu}
    assert found["runners"]["onnxruntime"]["identity"].startswith("onnxruntime ")
    for runner in found["runners"].values():
        assert runner["identity"] or runner["error"]


def test_kernels_that_the_environment_names(run, monkeypatch, no_round_trip):
    monkeypatch.setenv("FCMRT_KERNELS", "scalar")
    _, out, _ = run("doctor")
    assert "scalar (active, by FCMRT_KERNELS)" in out
    _, out, _ = run("doctor", "--json")
    found = json.loads(out)["kernels"]
    assert (found["active"], found["forced_by"]) == ("scalar", "FCMRT_KERNELS")
    monkeypatch.delenv("FCMRT_KERNELS")
    _, out, _ = run("doctor")
    assert f"{found['available'][0]} (active)" in out
    assert "RuntimeOptions(kernels=...)" in out


def test_kernels_that_are_not_there_are_told(run, monkeypatch, no_round_trip):
    monkeypatch.setenv("FCMRT_KERNELS", "mmx")
    _, out, _ = run("doctor")
    assert "FCMRT_KERNELS names the kernels 'mmx'" in out


def test_report_names_the_extra_for_what_is_missing(run, monkeypatch, no_round_trip):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    code, out, _ = run("doctor")
    assert code == 0
    for extra in ("cpu", "torch", "demo", "export", "cuda", "tensorrt", "tensorrt-rtx"):
        assert f"pip install 'fcmrt[{extra}]'" in out


def test_runners_are_named_or_the_reason_they_are_missing(run, monkeypatch, no_round_trip):
    monkeypatch.setitem(sys.modules, "torch", None)
    _, out, _ = run("doctor")
    assert re.search(r"runner onnxruntime +onnxruntime [\d.]+, cpu \S+", out)
    assert re.search(r"runner torch +none: .*pip install 'fcmrt\[torch\]'", out)


def test_gpus_are_named_or_the_reason_they_are_missing(run, monkeypatch, no_round_trip):
    def missing() -> Device:
        raise DeviceError("there is no NVIDIA driver here")

    module = strict_onnxruntime.make_module(FakeCuda())
    monkeypatch.setattr(onnxrt_cuda, "import_onnxruntime", lambda: module)
    monkeypatch.setattr(onnxrt_cuda, "first_device", missing)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    _, out, _ = run("doctor")
    assert re.search(r"runner onnxruntime on cuda +none: there is no NVIDIA driver here", out)
    assert re.search(r"runner tensorrt on cuda +none: .*'fcmrt\[tensorrt-rtx\]'", out)
    assert "tensorrt on cpu" not in out
    monkeypatch.setattr(onnxrt_cuda, "first_device", lambda: DEVICE)
    _, out, _ = run("doctor")
    assert re.search(r"runner onnxruntime on cuda +onnxruntime 1.31.1, cuda NVIDIA L4", out)


def test_two_onnxruntimes_are_called_broken(run, monkeypatch, no_round_trip):
    real = importlib.metadata.version
    both = {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.30.0"}
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda name: both.get(name) or real(name)
    )
    _, out, _ = run("doctor")
    assert "both installed" in out
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in out


def test_failure_is_reported_with_exit_code_1(run, monkeypatch):
    def fail() -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(fcmrt.Engine, "builtin", fail)
    code, out, _ = run("doctor")
    assert code == 1
    assert "RuntimeError: no such luck" in out
    assert "does not work here" in out
