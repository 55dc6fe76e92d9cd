"""Streams in files: a header, packets with their times, and an index at the end.

Rules: `docs/format.md`, section 10.
"""

from __future__ import annotations

import os
from typing import BinaryIO, Literal, overload

from ..arguments import word
from ..bitstream import BytesLike, StreamHeader
from ..config import Limits
from ..errors import ConfigError
from .prefix import FILE_MAGIC
from .reader import Reader
from .writer import Writer

__all__ = ["FILE_MAGIC", "Reader", "Writer", "open"]


@overload
def open(
    file: str | os.PathLike[str] | BytesLike | BinaryIO,
    mode: Literal["rb"] = "rb",
    header: None = None,
    *,
    limits: Limits | None = None,
) -> Reader: ...


@overload
def open(
    file: str | os.PathLike[str] | BinaryIO, mode: Literal["wb"], header: StreamHeader
) -> Writer: ...


def open(
    file: str | os.PathLike[str] | BytesLike | BinaryIO,
    mode: str = "rb",
    header: StreamHeader | None = None,
    *,
    limits: Limits | None = None,
) -> Reader | Writer:
    """Opens a stream file for reading ("rb") or makes a new one ("wb").

    Args:
        file: A path, or a binary file object, which the caller closes; for reading also the bytes
            of a file. "wb" overwrites a file at the path.
        mode: "rb" or "wb".
        header: What all packets have in common; required for "wb", not accepted for "rb".
        limits: Bounds on what the file may ask for, for "rb" only; None: the default ones.

    Raises:
        ConfigError: The arguments contradict each other.
        BitstreamError: The file is not in this format, or its header is damaged.
        OSError: The file cannot be opened.
    """
    word(mode, "mode", ("rb", "wb"))
    if mode == "rb":
        if header is not None:
            raise ConfigError("a file opened for reading has its own header; leave it out")
        return Reader(file, limits=limits)
    if header is None:
        raise ConfigError("a new file needs a header; pass the encoder's")
    if limits is not None:
        raise ConfigError("limits are for reading only")
    if isinstance(file, (bytes, bytearray, memoryview)):
        raise ConfigError("a new file needs a path or a file object, not bytes")
    return Writer(file, header)
