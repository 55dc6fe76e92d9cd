"""Objects of users' own code, by the names of a module and of what it holds."""

from __future__ import annotations

import importlib
from typing import Any

from fcmrt.errors import ExportError


def import_named(kind: str, name: str, where: str, otherwise: str) -> Any:
    """Imports what a user names.

    Args:
        kind: What kind of thing it should be, for errors.
        name: The name that the user gave, for errors.
        where: `module:attribute`.
        otherwise: The error's text if `where` does not have this form.

    Raises:
        ExportError: `where` does not have this form, or there is no such module or attribute.
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
