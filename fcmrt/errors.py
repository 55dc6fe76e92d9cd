"""The whole hierarchy of errors that fcmrt raises.

Every error is an `FcmrtError`, inherits the built-in that fits it, and carries fields, not only
text. Decoding untrusted bytes raises nothing but `BitstreamError` (or `EngineError`, for an engine
file); its text says what was wrong and, where something can be done, what to do.
"""

from __future__ import annotations

from collections.abc import Mapping


class FcmrtError(Exception):
    """Root of the hierarchy."""


class ShapeError(FcmrtError, ValueError):
    """An array has the wrong rank, size or number of channels."""


class DTypeError(FcmrtError, TypeError):
    """An array has the wrong element type, layout or kind, or a value that no codec can take."""


class ConfigError(FcmrtError, ValueError):
    """An option is out of its range, unknown, or contradicts another."""


class TargetError(ConfigError):
    """A packet size that a picture cannot reach with the engine's quality steps.

    Args:
        wanted: The size, in bytes.
        least: The picture's smallest packet, in bytes.
        most: Its largest.
    """

    def __init__(self, wanted: int, least: int, most: int) -> None:
        super().__init__(
            f"{wanted} bytes are wanted; with this engine this picture takes {least} to {most}"
        )
        self.wanted = wanted
        self.least = least
        self.most = most


class BitstreamError(FcmrtError, ValueError):
    """Bytes that are not a packet, stream or file of this format.

    Args:
        message: What was wrong.
        offset: Byte offset at which it was noticed, None where there is none.
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


class NonFiniteError(BitstreamError, ArithmeticError):
    """The features came out of synthesis with NaN or infinity.

    The packet is intact, and so are its integers: the networks overflowed here, in the floating
    point that they run in, or the packet was made to have them overflow anywhere.
    """


class EngineError(FcmrtError, ValueError):
    """An engine file that is damaged, malformed, hostile, or does not fit this library."""


class ExportError(FcmrtError, ValueError):
    """A trained codec that cannot be turned into an engine, or not as asked."""


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


class RunnerMismatchError(EngineError):
    """A same-engine stream was made with another runner than the one it is to be decoded with.

    Args:
        wanted: Identity of the encoder's runner, or its digest if the stream has no more.
        found: Identity of the runner at hand.
    """

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(
            f"the stream is of a same-engine codec and was made with {wanted}; this is {found}, "
            "which may compute other means or table indexes. Decode it where it was made, with the "
            "same options, or use an exact engine"
        )
        self.wanted = wanted
        self.found = found


class BackendUnavailableError(FcmrtError, ImportError):
    """A library that is needed is not installed; the text names the extra to install."""


class DeviceError(FcmrtError, RuntimeError):
    """A device that was asked for is absent or refused the work."""


class InexactRunnerError(FcmrtError, RuntimeError):
    """A runner does not compute the integers of an exact graph, so that its packets would be wrong.

    Args:
        graph: Name of the graph.
        runner: Identity of the runner.
        shapes: Shape of every input that it was checked at.
        differing: Values that differed from the reference.
        values: Values compared.
    """

    def __init__(
        self,
        graph: str,
        runner: str,
        shapes: Mapping[str, tuple[int, ...]],
        differing: int,
        values: int,
    ) -> None:
        told = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        super().__init__(
            f"{runner} is not exact on graph {graph!r} at {told}: {differing} of {values} values "
            "differ from the reference. Use another runner, device or version, or switch off what "
            "makes it inexact (Winograd or Fourier convolutions, sums in half precision)"
        )
        self.graph = graph
        self.runner = runner
        self.shapes = dict(shapes)
        self.differing = differing
        self.values = values


class PlanError(FcmrtError, RuntimeError):
    """A library that builds plans for GPUs does not take a graph, or fails on it.

    Args:
        message: What was wrong, in the library's words too.
        engine: Name of the engine.
        graph: Name of the graph.
        node: Name of the node that the library stopped at, None where it is not known.
    """

    def __init__(self, message: str, *, engine: str, graph: str, node: str | None = None) -> None:
        super().__init__(message)
        self.engine = engine
        self.graph = graph
        self.node = node


class ClosedError(FcmrtError, ValueError):
    """The object was closed."""
