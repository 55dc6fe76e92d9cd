"""What the commands write: checked before any work is done for it."""

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
        path: The file, which may be there already.
        inputs: What the command reads; None is nothing.

    Raises:
        ConfigError: It is one of the inputs, or a folder, or there is no folder for it.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it first")
    for source in inputs:
        if source is not None and path.is_file() and path.samefile(source):
            raise ConfigError(f"{path} is one of the inputs; give another file to write")


def report_to(path: str | Path | None) -> TextIO:
    """Where a command tells what it does while it writes a file: never into that file.

    Args:
        path: The file; None: none is written.

    Returns:
        Standard error where the file is what standard output goes to, as `/dev/stdout` is; else
        standard output.
    """
    try:
        ours = os.fstat(sys.stdout.fileno())
        # What goes to terminals and to /dev/null is not kept.
        same = path is not None and os.path.samestat(Path(path).stat(), ours)
        return sys.stderr if same and not stat.S_ISCHR(ours.st_mode) else sys.stdout
    except (AttributeError, OSError):  # no standard output, or it is no file
        return sys.stdout
