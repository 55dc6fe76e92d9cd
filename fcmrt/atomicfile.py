"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Opens a file that is at a path when the block is over, and not before.

    Until then it has another name in the same folder; where the block fails it is removed, and
    what was at the path stays. Links are followed. What is there and is no file, such as a pipe or
    a device, is never replaced: it is written directly, as far as the block comes.

    Args:
        path: Where to; its folder exists.
        mode: The file's permissions; None: those of the file that is there, or what the process
            gives new files.

    Raises:
        OSError: The file cannot be written; it names `path`.
    """
    there = _mode_of(path)
    if there is not None and not stat.S_ISREG(there):
        with _opened(path, path, "wb") as special:
            yield special
        return
    if mode is None and there is not None:
        mode = stat.S_IMODE(there)
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".fcmrt-{secrets.token_hex(8)}")
    try:
        file = _opened(partial, path, "xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with file:
            if mode is not None:
                partial.chmod(mode)
            yield file
        os.replace(partial, target)
    except BaseException:
        partial.unlink()
        raise


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file in one step, so that readers see what was there before or all of `data`.

    Args:
        path: As for `replacing`.
        data: The content.
        mode: The file's permissions.

    Raises:
        OSError: The file cannot be written; what was there before still is.
    """
    with replacing(path, mode=mode) as file:
        file.write(data)


class _NamedFile(io.FileIO):
    """A file whose errors of writing name a path, which may be another than its own."""

    def __init__(self, path: Path, told: Path, mode: str) -> None:
        super().__init__(str(path), mode)
        self._told = told

    def write(self, data: Any) -> int:
        """As a file's."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = str(self._told)
            raise


def _opened(path: Path, told: Path, mode: str) -> BinaryIO:
    """Opens a file for writing, whose errors name `told`."""
    return cast(BinaryIO, io.BufferedWriter(_NamedFile(path, told, mode)))


def _mode_of(path: Path) -> int | None:
    """Kind and permissions of what a path leads to; None where there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
