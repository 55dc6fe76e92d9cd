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
    """Opens a file that appears at a path only when the block has succeeded.

    Until then it has another name in the same folder; if the block fails it is removed, and what
    was at the path stays. Links are followed. A pipe, a device or anything else at the path that is
    not a regular file is never replaced: it is written directly, as far as the block comes.

    Args:
        path: Where the file goes; its folder exists.
        mode: The file's permissions; None: those of the file that is there, or the process's
            default.

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
    file = _opened(partial, path, "xb")
    try:
        with file:
            if mode is not None:
                partial.chmod(mode)
            yield file
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)  # an interrupt may come after the replacement
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
    """A file whose errors of opening and writing name a given path, which need not be its own."""

    def __init__(self, path: Path, named: Path, mode: str) -> None:
        self._named = named
        with self._naming():
            super().__init__(str(path), mode)

    def write(self, data: Any) -> int:
        """As `io.FileIO.write`."""
        with self._naming():
            return super().write(data)

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = str(self._named)
            raise


def _opened(path: Path, named: Path, mode: str) -> BinaryIO:
    """Opens a file for writing whose errors name `named`."""
    return cast(BinaryIO, io.BufferedWriter(_NamedFile(path, named, mode)))


def _mode_of(path: Path) -> int | None:
    """Returns kind and permissions of what a path leads to; None if there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
