"""Importing fcmrt is light, and the house's folders have no names of their own."""

from __future__ import annotations

import subprocess
import sys

import fcmrt

HEAVY = [
    "torch",
    "tensorrt",
    "tensorrt_rtx",
    "cupy",
    "onnxruntime",
    "onnx",
    "ray",
    "av",
    "PIL",
    "matplotlib",
]


def run(code: str) -> str:
    """Runs code in a fresh interpreter that does not see this folder's sources."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_import_loads_nothing_heavier_than_numpy() -> None:
    loaded = run(
        "import sys, fcmrt; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    ).split()
    assert "numpy" in loaded
    assert not set(HEAVY) & set(loaded)
    assert not {"kernels", "export"} & set(loaded)


def test_command_line_loads_nothing_heavier_than_numpy() -> None:
    loaded = run(
        "import sys\nfrom fcmrt.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    assert not set(HEAVY) & set(loaded.split())


def test_folders_are_not_imported_under_their_own_names() -> None:
    assert not {"kernels", "export"} & set(sys.modules)


def test_public_names_are_these() -> None:
    assert sorted(fcmrt.__all__) == [
        "CdfTables",
        "CodingParams",
        "Decoder",
        "Encoder",
        "Engine",
        "EngineLimits",
        "FeatureSpec",
        "Graph",
        "Importance",
        "Integers",
        "LevelSpec",
        "Limits",
        "Manifest",
        "Packet",
        "Proof",
        "Reader",
        "Recorder",
        "Rectangle",
        "Regions",
        "RuntimeOptions",
        "StageTimes",
        "StreamHeader",
        "TensorSpec",
        "Walk",
        "Writer",
        "__version__",
        "errors",
        "open",
    ]
    for name in fcmrt.__all__:
        assert getattr(fcmrt, name) is not None


def test_every_error_is_an_fcmrt_error_and_a_built_in() -> None:
    kinds = [
        kind
        for kind in vars(fcmrt.errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, fcmrt.errors.FcmrtError)
        if kind is not fcmrt.errors.FcmrtError:
            built_in = [b for b in kind.__mro__ if b.__module__ == "builtins"]
            assert built_in[0] not in (Exception, BaseException)
