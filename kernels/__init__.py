"""Entropy coder and quantiser, in several implementations that give the same bytes.

`api.py` says what an implementation offers, `reference.py` is the slow and obvious one, `cpu.py`
launches the native ones, `cuda/` those of a GPU. Importing this package loads none of them.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from ..errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from .api import Kernels

NATIVE = ("avx512", "avx2", "scalar")  # the fastest first
_NAMES = (*NATIVE, "cuda", "reference")

VARIABLE = "FCMRT_KERNELS"
"""Environment variable that names the implementation for those who ask for none."""

MAX_THREADS = 64


def available() -> list[str]:
    """Names of what the processor can run, the fastest first; all are names that `get` accepts."""
    try:
        from . import cpu
    except ImportError:
        return ["reference"]
    return [*cpu.available(), "reference"]


def get(name: str | None = None, threads: int = 1) -> Kernels:
    """The implementation of that name, always the same one for the same arguments.

    There is no silent way down from native kernels to the reference.

    Args:
        name: One of `available()`, or `cuda`, which goes to the GPU and back for every call; None:
            the one that the environment variable FCMRT_KERNELS names
            (for machines where the choice is a bad one), else the fastest native one.
        threads: Threads of one call, 1 to 64; the reference always takes one.

    Raises:
        BackendUnavailableError: It needs the native module, which this installation lacks,
            instructions that this processor lacks, or CuPy, which is not installed.
        DeviceError: It needs a GPU, and there is none.
        ConfigError: There is no implementation of that name, or threads is out of range.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise ConfigError(f"threads is {threads}; it must be 1 to {MAX_THREADS}")
    forced = os.environ.get(VARIABLE) or None
    if name is None and forced is not None and forced not in _NAMES:
        raise ConfigError(
            f"the environment variable {VARIABLE} names the kernels {forced!r}; there are "
            f"{', '.join(_NAMES)}"
        )
    return _get(name or forced, threads)


@functools.cache
def _get(name: str | None, threads: int) -> Kernels:
    if name == "reference":
        from .reference import ReferenceKernels

        return ReferenceKernels()
    if name == "cuda":
        from .cuda import CudaKernels

        return CudaKernels()
    if name is not None and name not in NATIVE:
        raise ConfigError(f"kernels {name!r} are not known; there are {', '.join(_NAMES)}")
    try:
        from . import cpu
    except ImportError as error:
        raise BackendUnavailableError(
            f"the native module of fcmrt cannot be loaded ({error}); install a wheel for this "
            "platform, or ask for kernels='reference', which is slow"
        ) from error
    return cpu.NativeKernels(name or cpu.available()[0], threads)
