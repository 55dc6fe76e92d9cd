"""Things of somebody else's code, by the name of a module and what it holds."""

from __future__ import annotations

import importlib
from typing import Any

from fcmrt.errors import ExportError


def import_named(kind: str, name: str, where: str, otherwise: str) -> Any:
    """Imports what a user names.

    Args:
        kind: What it is to be, for errors.
        name: What the user said, for errors.
        where: `module:attribute`.
        otherwise: What to say where it is no such name.

    Raises:
        ExportError: It is no such name, or there is no such thing.
        ImportError: A package that the module needs is not installed.
    """
    module, colon, attribute = where.partition(":")
    if not colon:
        raise ExportError(otherwise)
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ExportError(f"{kind} {name!r}: {error}") from error
    except AttributeError as error:
        raise ExportError(f"{kind} {name!r}: {module} has no {attribute!r}") from error
