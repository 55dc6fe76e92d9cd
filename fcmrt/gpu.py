"""Asks the driver which GPU the process sees first; needs no CUDA library."""

from __future__ import annotations

import ctypes
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from .errors import DeviceError

# CUdevice_attribute, in cuda.h.
_MULTIPROCESSORS, _MAJOR, _MINOR = 16, 75, 76


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """The properties of a GPU that compiled graphs depend on."""

    name: str
    target: str
    """Its compute capability, such as "sm_89"."""
    multiprocessors: int
    driver: int
    """Version of CUDA that the driver supports, 1000 * major + 10 * minor."""

    def __str__(self) -> str:
        version = f"{self.driver // 1000}.{self.driver % 1000 // 10}"
        return f"{self.name} ({self.target}, driver for CUDA {version})"


def first_device(open_library: Callable[[str], Any] = ctypes.CDLL) -> Device:
    """Asks the driver for the first GPU that the process sees.

    Args:
        open_library: Opens a shared library by its name.

    Raises:
        DeviceError: There is no driver or no GPU.
    """
    try:
        driver = open_library("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise DeviceError(f"there is no NVIDIA driver here ({error})") from error

    def call(function: str, *arguments: Any) -> None:
        code = getattr(driver, function)(*arguments)
        if code:
            raise DeviceError(f"the NVIDIA driver refuses {function} with the error {code}")

    call("cuInit", 0)
    device, version, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDriverGetVersion", ctypes.byref(version))
    call("cuDeviceGetName", name, len(name), device)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    return Device(
        name.value.decode("utf-8", "replace"),
        f"sm_{attribute(_MAJOR)}{attribute(_MINOR)}",
        attribute(_MULTIPROCESSORS),
        version.value,
    )
