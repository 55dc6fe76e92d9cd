"""JSON from untrusted bytes: bounded, without surprises, and with the place in every message."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from typing import Any, NoReturn

from .errors import EngineError

MAX_DEPTH = 32
_MAX_DIGITS = 19  # of an integer; the widest that a manifest needs are 32 bits
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# The closing quote is optional, so that an unterminated string cannot make the search quadratic.
_TOKENS = re.compile(rb'"(?:[^"\\]+|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def loads(data: bytes, place: str, max_bytes: int) -> Any:
    """Parses one JSON text.

    Args:
        data: UTF-8 without byte order mark; borrowed.
        place: What it is, for messages.
        max_bytes: Most bytes that are accepted.

    Returns:
        Plain Python values; integers have at most 19 digits, floats are finite.

    Raises:
        EngineError: Too large, too deep, not UTF-8, not JSON, a key twice, a number out of range.
    """
    if len(data) > max_bytes:
        raise EngineError(f"{place} has {len(data)} bytes; {max_bytes} are allowed")
    _check_depth(data, place)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                raise EngineError(f"{place} has the key {key[:80]!r} twice in one object")
            found[key] = value
        return found

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > _MAX_DIGITS:
            raise EngineError(f"{place} has an integer of {len(digits)} digits")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise EngineError(f"{place} has the number {digits[:40]}, which is out of range")
        return value

    def constant(name: str) -> NoReturn:
        raise EngineError(f"{place} has {name}, which is not JSON")

    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_int=integer,
            parse_float=real,
            parse_constant=constant,
        )
        # A lone surrogate can be written as an escape, but not as UTF-8 again.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except EngineError:
        raise
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{place} is not JSON in UTF-8: {error}") from error
    return value


def _check_depth(data: bytes, place: str) -> None:
    depth = 0
    for token in _TOKENS.finditer(data):
        mark = data[token.start()]
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise EngineError(f"{place} is nested deeper than {MAX_DEPTH}")
        elif mark in b"]}":
            depth -= 1


def fields(value: Any, place: str, required: Collection[str]) -> dict[str, Any]:
    """Takes an object with exactly the keys `required`; EngineError otherwise."""
    found = mapping(value, place)
    for key in found:
        if key not in required:
            raise EngineError(f"{place}: unknown key {key[:80]!r}")
    for key in required:
        if key not in found:
            raise EngineError(f"{place}: the key {key!r} is missing")
    return found


def mapping(value: Any, place: str) -> dict[str, Any]:
    """Takes an object with any keys; EngineError otherwise."""
    if not isinstance(value, dict):
        raise EngineError(f"{place} is {_kind(value)}; it must be an object")
    return value


def named(value: Any, place: str, most: int) -> dict[str, Any]:
    """Takes an object of at most `most` entries whose keys are names; EngineError otherwise."""
    found = mapping(value, place)
    if len(found) > most:
        raise EngineError(f"{place} has {len(found)} entries; at most {most} are allowed")
    for key in found:
        name(key, f"{place}: key")
    return found


def array(value: Any, place: str, low: int, high: int) -> list[Any]:
    """Takes an array of `low` to `high` items; EngineError otherwise."""
    if not isinstance(value, list):
        raise EngineError(f"{place} is {_kind(value)}; it must be an array")
    if not low <= len(value) <= high:
        raise EngineError(f"{place} has {len(value)} items; it must have {low} to {high}")
    return value


def integer(value: Any, place: str, low: int, high: int) -> int:
    """Takes an integer (no Boolean, no 1.0) of `low` to `high`; EngineError otherwise."""
    if type(value) is not int:
        raise EngineError(f"{place} is {_kind(value)}; it must be an integer")
    if not low <= value <= high:
        raise EngineError(f"{place} is {value}; it must be {low} to {high}")
    return value


def boolean(value: Any, place: str) -> bool:
    """Takes true or false; EngineError otherwise."""
    if type(value) is not bool:
        raise EngineError(f"{place} is {_kind(value)}; it must be true or false")
    return value


def real(value: Any, place: str) -> float:
    """Takes a number, which `loads` has found to be finite; EngineError otherwise."""
    if type(value) not in (int, float):
        raise EngineError(f"{place} is {_kind(value)}; it must be a number")
    return float(value)


def text(value: Any, place: str) -> str:
    """Takes a string; EngineError otherwise."""
    if not isinstance(value, str):
        raise EngineError(f"{place} is {_kind(value)}; it must be a string")
    return value


def name(value: Any, place: str) -> str:
    """Takes a name: 1 to 64 of ASCII letters, digits, `_`, `.` and `-`; EngineError otherwise."""
    if not is_name(text(value, place)):
        raise EngineError(
            f"{place} is {value[:80]!r}; a name has 1 to 64 of ASCII letters, digits, '_.-'"
        )
    return text(value, place)


def is_name(value: str) -> bool:
    """Returns whether `value` may be the name of a tensor, latent, graph, table set or engine."""
    return _NAME.fullmatch(value) is not None


def choice(value: Any, place: str, options: tuple[str, ...]) -> str:
    """Takes one of some strings; EngineError otherwise."""
    if text(value, place) not in options:
        raise EngineError(f"{place} is {value[:80]!r}; it must be one of {', '.join(options)}")
    return text(value, place)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}
    kinds |= {int: "an integer", float: "a number", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)
