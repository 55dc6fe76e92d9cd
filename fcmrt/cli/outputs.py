"""Checks of what the commands are to write, before any work is done for it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from ..errors import ConfigError


def check_output(path: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuses a file that the command must not or cannot write.

    Args:
        path: The file, which may exist already.
        inputs: Files that the command reads; None is skipped.

    Raises:
        ConfigError: It is one of the inputs or a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it first")
    for source in inputs:
        if source is not None and path.is_file() and path.samefile(source):
            raise ConfigError(f"{path} is one of the inputs; give another file to write")


def report_to(path: str | Path | None) -> TextIO:
    """Chooses where a command reports what it does while it writes a file: never in that file.

    Args:
        path: The file; None: none is written.

    Returns:
        Standard error if standard output goes to the file, as with `/dev/stdout`; else standard
        output.
    """
    try:
        ours = os.fstat(sys.stdout.fileno())
        # Terminals and /dev/null keep nothing, so there is nothing to spoil.
        same = path is not None and os.path.samestat(Path(path).stat(), ours)
        return sys.stderr if same and not stat.S_ISCHR(ours.st_mode) else sys.stdout
    except (AttributeError, OSError):  # no standard output, or it is not a file
        return sys.stdout
