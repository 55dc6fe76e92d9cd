"""What mutated inputs are fed to, and what must hold of the outcome.

A target returns a word for a lawful outcome: the class of the error that refused the input, or
what became of it. Whatever it raises is a finding.
"""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable
from typing import Any

from fcmrt import Decoder, Encoder, Engine, Limits, RuntimeOptions, StreamHeader, kernels
from fcmrt.bitstream import (
    is_self_contained,
    peek_packet,
    read_header,
    read_packet,
    write_header,
    write_packet,
)
from fcmrt.container import Reader
from fcmrt.errors import (
    BitstreamError,
    DTypeError,
    EngineError,
    EngineMismatchError,
    NonFiniteError,
    RunnerMismatchError,
)
from fcmrt.spec import Size, level_sizes, padded_size, tensor_size
from tests.features import random_features

from . import corpus
from .cases import Case
from .corpus import LIMITS
from .forge import OPTIONS, code

Target = Callable[[Case], str]

# All implementations of the kernels but the one that is used without asking.
_OTHERS = kernels.available()[1:]
_FOREIGN = (BitstreamError, EngineMismatchError, RunnerMismatchError)  # what bytes may raise
_RUN_SIZE: Size = (5, 7)
_RUN_LIMITS = Limits(max_side=1 << 13, max_elements=1 << 20)


class UnlawfulError(AssertionError):
    """An input that was taken although it must not be, or refused in a way that is not allowed."""


def demand(condition: bool, what: str) -> None:
    """Raises an `UnlawfulError` unless the condition holds; unlike `assert`, always."""
    if not condition:
        raise UnlawfulError(what)


def _word(error: Exception, data: bytes) -> str:
    """The word for an error, whose text and offset must be of use."""
    demand(bool(str(error)), "an error without a text")
    offset = getattr(error, "offset", None)
    demand(offset is None or 0 <= offset <= len(data), f"offset {offset} in {len(data)} bytes")
    return type(error).__name__


@functools.cache
def _decoder(subject: str, options: RuntimeOptions, with_header: bool) -> Decoder:
    header = corpus.header(subject) if with_header else None
    return Decoder(corpus.engine(subject), header=header, options=options, limits=LIMITS)


def decode_packet(case: Case) -> str:
    """A bare packet, to a decoder that knows the stream header."""
    word = _decode(_decoder(case.subject, OPTIONS, True), case.data)
    drawn = zlib.crc32(case.data)
    if len(case.data) < 1500 and drawn % 4 == 0:  # the reference is slow
        name = _OTHERS[drawn // 4 % len(_OTHERS)]
        options = RuntimeOptions(threads=1, kernels=name)
        other = _decode(_decoder(case.subject, options, True), case.data)
        demand(other == word, f"{word}, but {other} with the kernels {name!r}")
    return word


def decode_self_contained(case: Case) -> str:
    """A packet with its stream header, to a decoder without one."""
    return _decode(_decoder(case.subject, OPTIONS, False), case.data)


def _decode(decoder: Decoder, data: bytes) -> str:
    levels = len(decoder.engine.manifest.features)
    try:
        features = decoder.decode(data)
    except _FOREIGN as error:
        word = _word(error, data)
        try:
            peek_packet(data, limits=LIMITS, levels=levels)
        except BitstreamError as other:
            _word(other, data)
        return word
    info = peek_packet(data, limits=LIMITS, levels=levels)
    header = info.header or decoder.header
    strides = [feature.stride for feature in decoder.engine.manifest.features]
    sizes = info.head.geometry.level_sizes(strides) if info.head.geometry else None
    _check_features(decoder.engine, features, sizes, header, LIMITS)
    _check_bytes(decoder, data)
    return "decoded"


def _check_bytes(decoder: Decoder, data: bytes) -> None:
    """Checks that what was decoded encodes to the same bytes: a packet has one form only."""
    codec = decoder.engine
    start = read_header(data, limits=LIMITS)[1] if is_self_contained(data) else 0
    levels = len(codec.manifest.features)
    head = read_packet(data[start:], codec.digest, LIMITS, levels=levels).head
    coded = code(codec, decoder.integers(data), head.lanes, len(head.words))
    demand(coded.words == head.words, "other words than the integers decoded make")
    again = write_packet(head, coded.segments, coded.escapes, codec.digest)
    demand(again == data[start:], "other bytes than the integers decoded make")


def _check_features(
    engine: Engine,
    features: dict[str, Any],
    sizes: tuple[Size, ...] | None,
    header: StreamHeader | None,
    limits: Limits,
) -> None:
    """Checks that features have the shapes that packet or header declare, within the limits."""
    if sizes is None:
        demand(header is not None and header.sizes is not None, "features of sizes never told")
        sizes = header.sizes if header is not None else ()
    wanted = {
        level.name: (level.channels, *size)
        for level, size in zip(engine.manifest.features, sizes or (), strict=True)
    }
    dtype = header.levels[0].dtype if header is not None else "float32"
    demand({n: a.shape for n, a in features.items()} == wanted, "features of other shapes")
    demand(all(a.dtype == dtype for a in features.values()), "features of another type")
    demand(max(max(s[1:]) for s in wanted.values()) <= limits.max_side, "a side over the limit")
    total = sum(array.size for array in features.values())
    demand(total <= limits.max_elements, "more elements than the limits allow")


def parse_header(case: Case) -> str:
    """A stream header, and a decoder made from it."""
    try:
        header, size = read_header(case.data, limits=LIMITS)
    except BitstreamError as error:
        return _word(error, case.data)
    demand(write_header(header) == case.data[:size], "a header that is not written back alike")
    for level in header.levels:
        demand(max(level.height, level.width) <= LIMITS.max_side, "a side over the limit")
    demand((header.elements or 0) <= LIMITS.max_elements, "more elements than the limits allow")
    try:
        Decoder(corpus.engine(case.subject), header=header, options=OPTIONS, limits=LIMITS)
    except _FOREIGN as error:
        return f"read, {_word(error, case.data)}"
    return "taken"


def read_file(case: Case) -> str:
    """A stream file: opened, walked through, searched, and followed while it grows."""
    cut = zlib.crc32(case.data) % (len(case.data) + 1)
    growing = io.BytesIO(case.data[:cut])
    try:
        follower = Reader(growing, limits=LIMITS)
    except BitstreamError as error:
        _word(error, case.data)
    else:
        growing.seek(cut)
        growing.write(case.data[cut:])
        known = len(follower)
        demand(follower.refresh() == len(follower) - known, "refresh counts wrong")
        _walk(follower, case.data)
    try:
        reader = Reader(case.data, limits=LIMITS)
    except BitstreamError as error:
        return _word(error, case.data)
    packets = _walk(reader, case.data)
    try:
        decoder = Decoder(
            corpus.engine(case.subject), header=reader.header, options=OPTIONS, limits=LIMITS
        )
    except _FOREIGN as error:
        return f"read, {_word(error, case.data)}"
    words = {_decode(decoder, packet) for packet in packets[:4]}
    return "decoded" if "decoded" in words else "read"


def _walk(reader: Reader, data: bytes) -> list[bytes]:
    count = len(reader)
    demand(24 * count <= len(data), "more records than there is room for")
    demand(0 <= reader.skipped_bytes <= len(data), "more bytes skipped than there are")
    iterator = iter(reader)
    packets: list[bytes] = []
    for number in range(count):
        try:
            packet = next(iterator)
        except BitstreamError as error:
            _word(error, data)
            demand(error.packet_index == number, "an error about another packet")
        else:
            demand(len(packet) <= LIMITS.max_packet_bytes, "a packet over the limit")
            packets.append(packet)
    demand(next(iterator, None) is None, "more packets than are counted")
    for pts in -(1 << 63), 0, (1 << 63) - 1:
        found = reader.seek_pts(pts)
        demand(found is None or 0 <= found < count, "a packet that is not there")
    return packets


def load_engine(case: Case) -> str:
    """An engine file: loaded and, if that goes well, used for a small picture."""
    try:
        engine = Engine.load(case.data, corpus.ENGINE_LIMITS)
    except EngineError as error:
        return _word(error, case.data)
    manifest = engine.manifest
    sizes = level_sizes(manifest.features, *_RUN_SIZE)
    padded = padded_size(manifest.features, sizes, manifest.padding)
    specs = [*(feature.tensor for feature in manifest.features), *manifest.tensors.values()]
    total = 0
    for spec in specs:
        rows, columns = tensor_size(spec, padded)
        total += spec.channels * rows * columns
    if total > _RUN_LIMITS.max_elements or max(padded) > _RUN_LIMITS.max_side:
        return "loaded, too large to run"
    try:
        features = random_features(engine, _RUN_SIZE)
        packet = Encoder(engine, options=OPTIONS).encode(features)
    except EngineError as error:
        return f"loaded, {_word(error, case.data)} in encode"
    except DTypeError:  # weights that overflow
        return "loaded, not finite in encode"
    try:
        decoded = Decoder(engine, options=OPTIONS, limits=_RUN_LIMITS).decode(packet)
    except (EngineError, NonFiniteError) as error:
        return f"loaded, {_word(error, case.data)} in decode"
    _check_features(engine, decoded, sizes, None, _RUN_LIMITS)
    return "decoded"


TARGETS: dict[str, Target] = {
    "packet": decode_packet,
    "self-contained": decode_self_contained,
    "header": parse_header,
    "file": read_file,
    "engine": load_engine,
}


def run_case(case: Case) -> str:
    """Runs a case's target."""
    return TARGETS[case.target](case)


def run_seeds() -> dict[str, set[str]]:
    """Runs what all mutations start from; gives the words of each target, which must be good."""
    seeds: dict[str, Callable[[str], tuple[bytes, ...]]] = {
        "packet": corpus.packets,
        "header": corpus.headers,
        "file": corpus.files,
        "engine": lambda subject: (corpus.engine_file(subject),),
    }
    words: dict[str, set[str]] = {}
    for subject in corpus.SUBJECTS:
        for target, make in seeds.items():
            cases = [Case(target, subject, data, False, "") for data in make(subject)]
            words.setdefault(target, set()).update(map(run_case, cases))
        front = corpus.headers(subject)[1]
        cases = [
            Case("self-contained", subject, front + packet, False, "")
            for packet in corpus.packets(subject)
        ]
        words.setdefault("self-contained", set()).update(map(run_case, cases))
    return words
