"""Checks of the options that users pass: types first, then ranges.

Anything wrong is a `ConfigError` that names the option, its value, and what it must be.
"""

from __future__ import annotations

import io
import numbers
import operator
from collections.abc import Sequence
from types import UnionType
from typing import Any

import numpy as np

from .errors import ConfigError


def whole(value: Any, name: str, least: int | None = None, most: int | None = None) -> int:
    """Takes a whole number: an `int`, or a library's integer; no truth value, no float.

    Args:
        value: What was given.
        name: The option's, for errors.
        least: Least allowed number; None: there is no bound.
        most: Greatest allowed number; None: there is no bound.

    Raises:
        ConfigError: Something else, or out of range.
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:  # also arrays, unless they are of one integer
        number = None
    if number is None:
        raise ConfigError(f"{name} is {_shown(value)}; it must be a whole number")
    if (least is not None and number < least) or (most is not None and number > most):
        if most is None:
            raise ConfigError(f"{name} is {number}; it must be at least {least}")
        raise ConfigError(f"{name} is {number}; it must be {least} to {most}")
    return number


def real(value: Any, name: str) -> float:
    """Takes a real number as a float; ConfigError for anything else, or out of a float's range."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ConfigError(f"{name} is {_shown(value)}; it must be a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ConfigError(f"{name} is {_shown(value)}, which is out of range") from error


def truth(value: Any, name: str) -> bool:
    """Takes True or False; ConfigError for anything else."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {_shown(value)}; it must be True or False")
    return value


def word(value: Any, name: str, known: Sequence[str]) -> str:
    """Takes one of the known words; ConfigError, which lists them, for anything else."""
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{name} {_shown(value)} is not known; there are {', '.join(known)}")
    return value


def instance(value: Any, kind: type | UnionType, name: str, remedy: str = "") -> None:
    """Raises a ConfigError if a value is not an instance of a class.

    Args:
        value: What was given.
        kind: The class.
        name: The option's, for errors.
        remedy: What to do instead, if the class's name does not say it.
    """
    if not isinstance(value, kind):
        wanted = remedy or f"it must be a {getattr(kind, '__name__', kind)}"
        raise ConfigError(f"{name} is {_shown(value)}; {wanted}")


def sequence(value: Any, name: str) -> tuple[Any, ...]:
    """Takes a sequence, but no text or bytes, as a tuple; ConfigError for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray | memoryview):
        raise ConfigError(f"{name} is {_shown(value)}; it must be a tuple or list")
    return tuple(value)


def method(value: Any, method_name: str, name: str) -> None:
    """Raises a ConfigError if a value does not have a method."""
    if isinstance(value, type) or not callable(getattr(value, method_name, None)):
        raise ConfigError(f"{name} is {_shown(value)}; it must have a method {method_name!r}")


def binary_file(value: Any, name: str, *methods: str) -> None:
    """Raises a ConfigError if a value is not a binary file object with these methods."""
    if isinstance(value, io.TextIOBase):
        raise ConfigError(f"{name} is open as text; open it as bytes, in mode 'rb' or 'wb'")
    for method_name in methods:
        method(value, method_name, name)


def _shown(value: Any) -> str:
    """Returns how a value is shown in an error: a short one as it is, others by their type."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 128 else "a huge int"
        if len(text) <= 64:
            return text
    return f"a {type(value).__name__}"
