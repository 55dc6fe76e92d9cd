"""Describes the GPU that a figure comes from: its name, driver and clocks."""

from __future__ import annotations

import ctypes
import functools
import subprocess
from typing import Any

_FIELDS = {
    "name": str,
    "driver_version": str,
    "compute_cap": str,
    "memory.total": float,
    "clocks.sm": float,
    "clocks.mem": float,
    "clocks.max.sm": float,
    "clocks.max.mem": float,
    "power.limit": float,
    "temperature.gpu": float,
}
# The driver's units: MiB, MHz, W and degrees Celsius.
_PATIENCE_S = 20
_NVML = "libnvidia-ml.so.1"
_NVML_CLOCK_SM = 1


def describe_gpu() -> dict[str, Any] | None:
    """Describe the first GPU, None where no driver can be asked.

    Returns:
        The fields of `nvidia-smi --query-gpu` by name; None for one that the driver does not know.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    return parse(lines[0]) if lines else None


def parse(line: str) -> dict[str, Any]:
    """Read one line of the driver's answer."""
    found: dict[str, Any] = {}
    for (name, kind), text in zip(_FIELDS.items(), line.split(","), strict=True):
        try:
            found[name] = kind(text.strip())
        except ValueError:  # "[N/A]" and the like
            found[name] = None
    return found


@functools.cache
def _nvml() -> tuple[Any, ctypes.c_void_p] | None:
    """Give the driver's library and its handle of the first GPU, None where there is none."""
    handle = ctypes.c_void_p()
    try:
        library = ctypes.CDLL(_NVML)
        failed = library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(
            ctypes.c_uint(0), ctypes.byref(handle)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else (library, handle)


def sm_megahertz() -> int | None:
    """Give the clock at which the first GPU's multiprocessors run now; None: unknown."""
    found = _nvml()
    if found is None:
        return None
    library, handle = found
    clock = ctypes.c_uint()
    failed = library.nvmlDeviceGetClockInfo(handle, _NVML_CLOCK_SM, ctypes.byref(clock))
    return None if failed else clock.value
