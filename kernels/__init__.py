"""Entropy coder and quantiser, in several implementations that give the same bytes.

`api.py` says what an implementation offers; `reference.py` is the slow and obvious one, `cpu.py`
calls the native ones, and `cuda/` has the one for GPUs. Importing this package loads none of them.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from ..errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from .api import Kernels

NATIVE = ("avx512", "avx2", "scalar")
"""Instruction sets of the native implementations, the fastest first."""
_NAMES = (*NATIVE, "cuda", "reference")

VARIABLE = "FCMRT_KERNELS"
"""Environment variable that names the implementation where `get` is called without a name."""

MAX_THREADS = 64


def available() -> list[str]:
    """Returns the names of what this processor can run, the fastest first; `get` accepts each."""
    try:
        from . import cpu
    except ImportError:
        return ["reference"]
    return [*cpu.available(), "reference"]


def get(name: str | None = None, threads: int = 1) -> Kernels:
    """Returns an implementation, the same object for the same arguments.

    It never falls back from native kernels to the reference silently.

    Args:
        name: One of `available()`, or `cuda`, which copies to the GPU and back in every call; None:
            the one that the environment variable FCMRT_KERNELS names (for machines where the
            default is a bad choice), else the fastest native one.
        threads: Threads of one call, 1 to 64; the reference and `cuda` always take one.

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
