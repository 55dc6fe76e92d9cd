"""Opens .fcm files, and says what another file is instead."""

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
        help="most elements that a packet may have, features and latents together; this bounds the "
        f"memory that a file can make the command allocate (default: {Limits().max_elements})",
    )


def open_stream(path: Path, limits: Limits, engine: Engine) -> Reader:
    """Opens an .fcm file.

    Args:
        path: The file.
        limits: Bounds on what it may ask for.
        engine: The engine that a bare packet is tried with, to say that it is one.

    Raises:
        BitstreamError: It is damaged, or another kind of file; the text says which.
        OSError: It cannot be read.
    """
    # A pipe can neither seek nor be read twice.
    source = path if path.is_file() else path.read_bytes()
    try:
        return Reader(source, limits=limits)
    except LimitExceededError as error:
        raise LimitExceededError(f"{path}: {text_with_option(error)}") from error
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {_what_it_is(source, engine) or error}") from error


def text_with_option(error: BitstreamError) -> str:
    """Returns an error's text; if a limit was exceeded, with the option that raises it."""
    if isinstance(error, LimitExceededError):
        return f"{error}; --max-elements allows more elements"
    return str(error)


def _what_it_is(source: Path | bytes, engine: Engine) -> str | None:
    """Says what a file is that `Reader` has refused; None: an .fcm file, damaged."""
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
        return "this is a ZIP, as engines and .npz files are, not an .fcm file"
    try:
        read_packet(data, engine.digest, Limits(), levels=len(engine.manifest.features))
    except BitstreamError:
        return (
            "this is not an .fcm file, nor a packet of the engine; fcmrt encode makes .fcm files "
            "of features and pictures"
        )
    return (
        "this is a bare packet of the engine, not an .fcm file; fcmrt inspect shows it, and "
        "fcmrt.Decoder(engine, header=...).decode takes its bytes"
    )
