"""The whole hierarchy of errors that fcmrt raises.

Every error is an `FcmrtError`, inherits the built-in that fits it, and carries fields, not only
text. Decoding untrusted bytes raises nothing but `BitstreamError` (or `EngineError`, for an engine
file); its text says what was wrong and, where something can be done, what to do.
"""

from __future__ import annotations


class FcmrtError(Exception):
    """Root of the hierarchy."""


class ShapeError(FcmrtError, ValueError):
    """An array has the wrong rank, size or number of channels."""


class DTypeError(FcmrtError, TypeError):
    """An array has the wrong element type, layout or kind, or a value that no codec can take."""


class ConfigError(FcmrtError, ValueError):
    """An option is out of its range, unknown, or contradicts another."""


class BitstreamError(FcmrtError, ValueError):
    """Bytes that are not a packet, stream or file of this format.

    Args:
        message: What was wrong.
        offset: Byte offset at which it was noticed, None where none can be told.
        packet_index: Number of the packet within its stream or batch, None outside of one.
    """

    def __init__(
        self, message: str, *, offset: int | None = None, packet_index: int | None = None
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.packet_index = packet_index


class TruncatedError(BitstreamError, EOFError):
    """The bytes end before the structure they began."""


class ChecksumError(BitstreamError):
    """A checksum does not match: the bytes are damaged, or were made with another engine."""


class UnsupportedVersionError(BitstreamError):
    """The bytes are of a version of the format that this library does not read."""


class LimitExceededError(BitstreamError):
    """The bytes ask for more than the limits in force allow."""


class DriftError(BitstreamError):
    """The two sides did not see the same integers, so the features would be wrong.

    The packet is intact (its checksum matched), but the integers decoded from it are not those
    that were encoded: another device, library or thread count gave other means or table indexes.
    """


class EngineError(FcmrtError, ValueError):
    """An engine file that is damaged, malformed, hostile, or does not fit this library."""


class EngineMismatchError(EngineError):
    """A stream was made with another engine than the one it is to be decoded with.

    Args:
        wanted: Digest in the stream, hexadecimal.
        found: Digest of the engine at hand, hexadecimal.
    """

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(
            f"the stream was made with engine {wanted[:16]}..., this is engine {found[:16]}...; "
            "load the engine file that the encoder used"
        )
        self.wanted = wanted
        self.found = found


class BackendUnavailableError(FcmrtError, ImportError):
    """A library that the request needs is not installed; the text names the extra to install."""


class DeviceError(FcmrtError, RuntimeError):
    """A device that was asked for is absent or refused the work."""


class ClosedError(FcmrtError, ValueError):
    """The object was closed."""
