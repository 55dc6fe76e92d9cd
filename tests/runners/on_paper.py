"""Machines on paper: a GPU, CuPy and a library that all are stand-ins."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from fcmrt.gpu import Device
from fcmrt.tensorrt import library as library_module
from fcmrt.tensorrt.library import LIBRARIES, TensorRTForRTX

from ..plans import strict_tensorrt
from .fake_cuda import FakeCuda
from .strict_runtime import add_runtime

DEVICE = Device("NVIDIA L4", "sm_89", 58, 13000)


class AnyInputs(strict_tensorrt.OptimizationProfile):
    """A profile for graphs of whatever inputs."""

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        self.shapes[name] = [list(low), list(best), list(high)]


def tensorrt_machine(
    patch: pytest.MonkeyPatch,
    cuda: FakeCuda,
    *names: str,
    device: Device = DEVICE,
    version: str = "11.4.0",
) -> Mapping[str, Any]:
    """Makes this process one that has a GPU, CuPy, and these of the two libraries.

    Returns:
        Their modules, by name.
    """
    patch.setattr(strict_tensorrt, "OptimizationProfile", AnyInputs)
    patch.setitem(sys.modules, "cupy", cuda.cupy())
    modules = {}
    for library in LIBRARIES.values():
        rtx = library is TensorRTForRTX
        patch.setattr(library.__init__, "__defaults__", (lambda: device,))
        if library.name not in names:
            patch.setitem(sys.modules, library.module_name, None)
            continue
        module = strict_tensorrt.make_module(rtx=rtx, version=version)
        modules[library.name] = add_runtime(module, cuda, rtx=rtx)
        patch.setitem(sys.modules, library.module_name, module)
    real = importlib.util.find_spec
    mine = {library.module_name: library.name in names for library in LIBRARIES.values()}
    patch.setattr(
        library_module.importlib.util,
        "find_spec",
        lambda name, *rest: mine[name] if name in mine else real(name, *rest),
    )
    return modules
