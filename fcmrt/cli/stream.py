"""Opening .fcm files, and saying what a file is that is none."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..bitstream import is_self_contained, read_packet
from ..config import Limits
from ..container import FILE_MAGIC, Reader
from ..errors import BitstreamError, LimitExceededError

if TYPE_CHECKING:
    from ..engine import Engine

ZIP_MAGIC = b"PK\x03\x04"


def add_limits_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--max-elements`."""
    parser.add_argument(
        "--max-elements",
        metavar="N",
        type=int,
        default=Limits().max_elements,
        help="most elements that a packet may have, features and latents together: memory that the "
        f"file can make the command ask for (default: {Limits().max_elements})",
    )


def open_stream(path: Path, limits: Limits, engine: Engine) -> Reader:
    """Opens an .fcm file.

    Args:
        path: The file.
        limits: Bounds on what it may ask for.
        engine: What a packet without a file around it is tried with.

    Raises:
        BitstreamError: It is no such file, or a bad one; the text names it, and what it is instead.
        OSError: It cannot be read.
    """
    # A pipe cannot be searched, nor read a second time.
    source = path if path.is_file() else path.read_bytes()
    try:
        return Reader(source, limits=limits)
    except LimitExceededError as error:
        raise LimitExceededError(f"{path}: {told_with_option(error)}") from error
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {_what_it_is(source, engine) or error}") from error


def told_with_option(error: BitstreamError) -> str:
    """Gives an error's text; where a limit was in the way, with the option that raises it."""
    if isinstance(error, LimitExceededError):
        return f"{error}; more elements are allowed by --max-elements"
    return str(error)


def _what_it_is(source: Path | bytes, engine: Engine) -> str | None:
    """Tells what a file is that is not read as an .fcm file; None: a damaged one."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        data = file.read(Limits().max_packet_bytes)
    if data.startswith(FILE_MAGIC[:4]):
        return None
    if is_self_contained(data):
        return (
            "this begins with a stream header, as packets that carry their header do; an .fcm file "
            "begins otherwise. fcmrt inspect shows it, fcmrt.Decoder decodes such a packet's bytes"
        )
    if data.startswith(ZIP_MAGIC):
        return "this is a ZIP, as engines and .npz files are, and no .fcm file"
    try:
        read_packet(data, engine.digest, Limits(), levels=len(engine.manifest.features))
    except BitstreamError:
        return (
            "this is no .fcm file, and no packet of the engine either; fcmrt encode makes .fcm "
            "files of features and pictures"
        )
    return (
        "this is a bare packet of the engine, and no .fcm file; fcmrt inspect shows it, and "
        "fcmrt.Decoder(engine, header=...).decode takes its bytes"
    )
