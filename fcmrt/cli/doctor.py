"""`fcmrt doctor`: what works on this machine, and why the rest does not."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
from typing import Any

import numpy as np

from ..config import DEVICES, RUNNERS, RuntimeOptions
from ..errors import BackendUnavailableError, ConfigError, DeviceError
from ..processor import processor_features, processor_listing
from .text import print_json, table

LIBRARIES = {
    # module: (distributions that bring it, extra that installs it, what for)
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu"), "cpu", "runs the networks"),
    "PIL": (("pillow",), "demo", "reads pictures"),
    "matplotlib": (("matplotlib",), "demo", "draws the demo's picture"),
    "pycocotools": (("pycocotools",), "demo", "measures agreement of detections"),
    "torch": (("torch",), "torch", "runs the networks; exports codecs"),
    "onnx": (("onnx",), "export", "exports codecs"),
    "cupy": (
        ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
        "cuda",
        "runs CUDA kernels, and holds networks' memory",
    ),
    "tensorrt": (
        ("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
        "tensorrt",
        "builds plans, on the GPU they are for, and runs them",
    ),
    "tensorrt_rtx": (
        ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
        "tensorrt-rtx",
        "builds plans, with or without a GPU, and runs them on one",
    ),
}
"""Libraries that fcmrt can use; none of them is imported to look for it."""

ALONE = ("cuda", "tensorrt")
"""Extras whose libraries do not get along with those of `cpu`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Examines the machine; 0 if encoding and decoding work here, else 1."""
    found = examine()
    if args.json:
        print_json(found)
    else:
        print(_report(found))
    return 0 if found["works"] else 1


def examine() -> dict[str, Any]:
    """Gathers everything that the report says."""
    libraries = {module: _library(module) for module in LIBRARIES}
    kernels = _kernels()
    trial = _round_trip()
    return {
        "works": trial["works"],
        "versions": _versions(),
        "cpu": _cpu(),
        "kernels": kernels,
        "libraries": libraries,
        "runners": _runners(),
        "providers": _providers(libraries["onnxruntime"]),
        "round_trip": trial,
        "advice": _advice(libraries, kernels, trial),
    }


def _versions() -> dict[str, str]:
    from .. import __version__
    from ..bitstream import FORMAT_VERSION

    return {
        "fcmrt": __version__,
        "format": ".".join(map(str, FORMAT_VERSION)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }


def _cpu() -> dict[str, Any]:
    named = processor_listing().get("model name")
    return {
        "name": named or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "features": processor_features(),
    }


def _runners() -> dict[str, dict[str, Any]]:
    """Finds each runner's identity on each device, or why it has none; loads their libraries.

    Keys are the runners' names, with " on cuda" appended for the GPU.
    """
    runners = {}
    for runner in RUNNERS:
        for device in DEVICES:
            try:
                options = RuntimeOptions(runner=runner, device=device)
            except ConfigError:
                continue  # not for this device
            runners[runner if device == "cpu" else f"{runner} on {device}"] = _runner(options)
    return runners


def _runner(options: RuntimeOptions) -> dict[str, Any]:
    from ..runner import make_runner

    try:
        return {"identity": make_runner(options).identity}
    except (BackendUnavailableError, DeviceError, OSError, AttributeError) as error:
        return {"identity": None, "error": str(error)}


def _kernels() -> dict[str, Any]:
    from .. import kernels

    found: dict[str, Any] = {
        "available": kernels.available(),
        "active": None,
        "forced_by": kernels.VARIABLE if os.environ.get(kernels.VARIABLE) else None,
    }
    try:
        found["active"] = kernels.get().name
    except (BackendUnavailableError, ConfigError) as error:
        found["error"] = str(error)
    return found


def _library(module: str) -> dict[str, Any]:
    """Looks for a library without importing it."""
    distributions, extra, use = LIBRARIES[module]
    installed = {}
    for name in distributions:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    present = importlib.util.find_spec(module) is not None
    return {"present": present, "distributions": installed, "extra": extra, "use": use}


def _providers(onnxruntime: dict[str, Any]) -> list[str]:
    """Asks onnxruntime what it can run on; nothing if it is not there or does not load."""
    if not onnxruntime["present"]:
        return []
    try:
        import onnxruntime as ort

        return list(ort.get_available_providers())
    except (ImportError, AttributeError, OSError):
        return []


def _round_trip() -> dict[str, Any]:
    """Encodes and decodes a small set of random features with the built-in engine."""
    from ..decoder import Decoder
    from ..encoder import Encoder
    from ..engine import Engine

    try:
        engine = Engine.builtin()
        draw = np.random.default_rng(0)
        features = {
            level.name: draw.standard_normal(
                (level.channels, -(-16 // level.stride), -(-16 // level.stride)), np.float32
            )
            for level in engine.manifest.features
        }
        packet = Encoder(engine).encode(features)
        decoded = Decoder(engine).decode(packet)
    except Exception as error:  # whatever goes wrong is the finding
        return {"works": False, "error": f"{type(error).__name__}: {error}"}
    works = all(decoded[name].shape == level.shape for name, level in features.items())
    return {"works": works, "engine": engine.manifest.name, "packet_bytes": len(packet)}


def _advice(
    libraries: dict[str, dict[str, Any]], kernels: dict[str, Any], trial: dict[str, Any]
) -> list[str]:
    """What stands in the way here, and what to do about it."""
    advice = []
    if len(libraries["onnxruntime"]["distributions"]) > 1:
        advice.append(
            "onnxruntime and onnxruntime-gpu are both installed: this is broken, they share one "
            "folder and overwrite each other's files. To repair it: pip uninstall -y onnxruntime "
            "onnxruntime-gpu; then install one of them: pip install 'fcmrt[cpu]' or 'fcmrt[cuda]'"
        )
    if "error" in kernels:
        advice.append(kernels["error"])
    if not trial["works"]:
        reason = trial.get("error", "the features came back with other sizes")
        advice.append(f"the built-in engine does not work here: {reason}")
    return advice


def _library_row(found: dict[str, Any]) -> str:
    if not found["present"]:
        alone = ", in an environment of its own" if found["extra"] in ALONE else ""
        return f"missing ({found['use']}): pip install 'fcmrt[{found['extra']}]'{alone}"
    installed = ", ".join(f"{name} {v}" for name, v in found["distributions"].items())
    return installed or "present, version unknown"


def _report(found: dict[str, Any]) -> str:
    cpu, kernels, trial = found["cpu"], found["kernels"], found["round_trip"]
    rows = [*found["versions"].items()]
    rows.append(("cpu", f"{cpu['name']}, {cpu['cores']} cores"))
    rows.append(("cpu features", " ".join(cpu["features"]) or "not known"))
    forced = kernels["forced_by"]
    active = f"active, by {forced}" if forced else "active"
    names = [f"{n} ({active})" if n == kernels["active"] else n for n in kernels["available"]]
    rows.append(("kernels", ", ".join(names)))
    rows.append(("", "others: RuntimeOptions(kernels=...), or the environment: FCMRT_KERNELS=..."))
    for module, library in found["libraries"].items():
        rows.append((module, _library_row(library)))
    for name, runner in found["runners"].items():
        rows.append((f"runner {name}", runner["identity"] or f"none: {runner['error']}"))
    rows.append(("providers", ", ".join(found["providers"]) or "none"))
    if trial["works"]:
        state = f"{trial['engine']} encodes and decodes, {trial['packet_bytes']} bytes"
    else:
        state = "FAILS"
    rows.append(("engine", state))
    lines = [table(rows)]
    if found["advice"]:
        lines += ["", *(f"- {line}" for line in found["advice"])]
    verdict = "fcmrt works here." if found["works"] else "fcmrt does not work here yet."
    return "\n".join([*lines, "", verdict])
