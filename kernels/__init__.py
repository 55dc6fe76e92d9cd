"""Entropy coder and quantiser, in several implementations that give the same bytes.

`api.py` says what an implementation offers, `reference.py` is the slow and obvious one, `cpu.py`
launches the native ones. Importing this package loads none of them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from .api import Kernels

NATIVE = ("avx512", "avx2", "scalar")  # the fastest first
_NAMES = (*NATIVE, "reference")


def available() -> list[str]:
    """Names that `get` accepts on this machine, the fastest first."""
    try:
        from . import cpu
    except ImportError:
        return ["reference"]
    return [*cpu.available(), "reference"]


@functools.cache
def get(name: str | None = None) -> Kernels:
    """The implementation of that name; None: the fastest native one.

    There is no silent way down from native kernels to the reference.

    Raises:
        BackendUnavailableError: It needs the native module, which this installation lacks, or
            instructions that this processor lacks.
        ConfigError: There is no implementation of that name.
    """
    if name == "reference":
        from .reference import ReferenceKernels

        return ReferenceKernels()
    if name is not None and name not in NATIVE:
        raise ConfigError(f"kernels {name!r} are not known; there are {', '.join(_NAMES)}")
    try:
        from . import cpu
    except ImportError as error:
        raise BackendUnavailableError(
            f"the native module of fcmrt cannot be loaded ({error}); install a wheel for this "
            "platform, or ask for kernels='reference', which is slow"
        ) from error
    return cpu.NativeKernels(name or cpu.available()[0])
