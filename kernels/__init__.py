"""Entropy coder and quantiser, in several implementations that give the same bytes.

`api.py` says what an implementation offers, `reference.py` is the slow and obvious one, `cpu.py`
launches the native one. Importing this package loads none of them.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING

from ..errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from .api import Kernels

_NAMES = ("scalar", "reference")


def available() -> list[str]:
    """Names that `get` accepts on this machine, the fastest first."""
    native = importlib.util.find_spec(f"{__name__}._cpu") is not None
    return [name for name in _NAMES if name == "reference" or native]


@functools.cache
def get(name: str | None = None) -> Kernels:
    """The implementation of that name; None: the fastest. There is no silent way down from it.

    Raises:
        BackendUnavailableError: It needs the native module, which this installation lacks.
        ConfigError: There is no implementation of that name.
    """
    if name == "reference":
        from .reference import ReferenceKernels

        return ReferenceKernels()
    if name is None or name == "scalar":
        try:
            from .cpu import ScalarKernels
        except ImportError as error:
            raise BackendUnavailableError(
                f"the native module of fcmrt cannot be loaded ({error}); install a wheel for this "
                "platform, or ask for kernels='reference', which is slow"
            ) from error
        return ScalarKernels()
    raise ConfigError(f"kernels {name!r} are not known; there are {', '.join(_NAMES)}")
