"""What is in a file, as plain dictionaries: the JSON of `fcmrt inspect`."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, BinaryIO

from ..bitstream import (
    Importance,
    StreamHeader,
    is_self_contained,
    peek_packet,
    read_header,
    read_packet,
)
from ..config import Limits
from ..container import FILE_MAGIC, Reader
from ..errors import BitstreamError, ConfigError
from .inputs import load_engine
from .stream import ZIP_MAGIC

if TYPE_CHECKING:
    from ..engine import Engine

# Syntax alone takes no memory for elements, so a file may have any number of them.
_LIMITS = Limits(max_elements=1 << 60)

Description = dict[str, Any]


def describe(path: Path, load: Callable[[], Engine]) -> Description:
    """Describes a file, after finding out from its content what kind of file it is.

    Args:
        path: An engine, an .fcm file, a stream header or a packet.
        load: Loads the engine that a bare packet is tried with. Such a packet has no magic: only
            its checksum, which covers the engine too, distinguishes it from other bytes.

    Raises:
        OSError: The file cannot be read.
        EngineError: It is an engine, but a bad one.
        BitstreamError: It is an .fcm file or begins with a header, but is bad.
        ConfigError: It is none of these.
    """
    with path.open("rb") as opened:
        # A pipe can neither seek nor be read twice.
        file = opened if opened.seekable() else io.BytesIO(opened.read())
        begin = file.read(len(FILE_MAGIC))
        file.seek(0)
        if begin == FILE_MAGIC:
            return describe_file(file)
        if begin.startswith(ZIP_MAGIC):
            return describe_engine(path, file)
        data = file.read(_LIMITS.max_packet_bytes + 1)
    if is_self_contained(data):
        header, length = read_header(data, limits=_LIMITS)
        what = {"header": describe_header(header)}
        if length == len(data):
            return {"kind": "header", "bytes": length, **what}
        return {
            "kind": "packet",
            **_packet(data, header.engine_digest, header.levels, length),
            **what,
        }
    engine = load()
    try:
        return {"kind": "packet", **_packet(data, engine.digest, engine.manifest.features)}
    except BitstreamError as error:
        raise ConfigError(
            f"{path} is not an engine, .fcm file or stream header, and as a packet of engine "
            f"{engine.manifest.name}: {error}"
        ) from error


def describe_engine(path: Path, file: BinaryIO) -> Description:
    """Describes an engine file, open at its beginning; all of it is verified on the way."""
    from ..schedule import step_value
    from ..specjson import quality_value

    engine = load_engine(path, file)
    manifest = engine.manifest
    tables = {name: engine.tables(name) for name in manifest.tables}
    return {
        "kind": "engine",
        "bytes": file.seek(0, io.SEEK_END),
        "digest": engine.digest_hex,
        "name": manifest.name,
        "family": manifest.family,
        "profile": manifest.profile,
        "features": [dataclasses.asdict(feature) for feature in manifest.features],
        "padding": dataclasses.asdict(manifest.padding),
        "tensors": {n: dataclasses.asdict(tensor) for n, tensor in manifest.tensors.items()},
        "latents": {n: dataclasses.asdict(latent) for n, latent in manifest.latents.items()},
        "mean_bits": manifest.mean_bits,
        "steps": {"first": manifest.step_numbers[0], "last": manifest.step_numbers[-1]},
        "quality": quality_value(manifest.quality),
        "encode": [step_value(step) for step in manifest.encode],
        "decode": [step_value(step) for step in manifest.decode],
        "outputs": dict(manifest.outputs),
        "graphs": {n: {"bytes": member.bytes} for n, member in manifest.graphs.items()},
        "tables": {
            name: {
                "bytes": member.bytes,
                "count": tables[name].count,
                "least": int(tables[name].offsets.min()),
                "greatest": int((tables[name].offsets + tables[name].sizes).max()) - 1,
            }
            for name, member in manifest.tables.items()
        },
        "card": dict(manifest.card),
    }


def describe_file(file: BinaryIO) -> Description:
    """Describes an .fcm file and every packet in it."""
    packets: list[Description] = []
    with Reader(file, limits=_LIMITS) as reader:
        header = reader.header
        for number in range(len(reader)):
            row: Description = {"number": number}
            try:
                packet = reader[number]
                row["pts"] = packet.pts
                row |= _packet(packet, header.engine_digest, header.levels)
                if packet.elements:
                    row["bits_per_element"] = 8 * len(packet) / packet.elements
            except BitstreamError as error:
                row["error"] = str(error)
            packets.append(row)
        state = {
            "header_damaged": reader.header_damaged,
            "recovered": reader.recovered,
            "skipped_bytes": reader.skipped_bytes,
        }
    sizes = [row["bytes"] for row in packets if "bytes" in row]
    return {
        "kind": "file",
        "bytes": file.seek(0, io.SEEK_END),
        **state,
        "damaged_packets": sum("error" in row for row in packets),
        "duration_s": _duration([row["pts"] for row in packets if "pts" in row], header),
        "packet_bytes": {
            "total": sum(sizes),
            "least": min(sizes, default=0),
            "median": median(sizes) if sizes else 0,
            "greatest": max(sizes, default=0),
        },
        "header": describe_header(header),
        "packets": packets,
    }


def describe_header(header: StreamHeader) -> Description:
    """Describes a stream header."""
    runner = header.runner_digest
    return {
        "engine": header.engine_digest.hex(),
        "profile": header.profile,
        "runner": None if runner is None else runner.hex(),
        "coding": {"overhead_permille": header.coding.overhead_permille},
        "time_base": list(header.time_base),
        "picture": {"width": header.picture_width, "height": header.picture_height},
        "input": {"width": header.input_width, "height": header.input_height},
        "levels": [dataclasses.asdict(level) for level in header.levels],
        "notes": dict(header.notes),
    }


def _packet(data: bytes, digest: bytes, levels: Sequence[object], begin: int = 0) -> Description:
    """Describes a packet whose engine is known.

    Raises:
        BitstreamError: It is malformed, or its checksum does not match.
    """
    read_packet(memoryview(data)[begin:], digest, _LIMITS, levels=len(levels))
    info = peek_packet(data, limits=_LIMITS, levels=len(levels))
    head = info.head
    return {
        "bytes": len(data),
        "step": head.step,
        "importance": _importance(head.importance) if head.importance else None,
        "lanes": head.lanes,
        "segments": len(head.words),
        "geometry": None if head.geometry is None else [list(s) for s in head.geometry.sizes],
        "accounting": dataclasses.asdict(info.bytes),
    }


def _importance(importance: Importance) -> Description:
    """Describes where the step differs; by group, in the engine's order."""
    regions = importance.regions
    return {
        "offsets": list(importance.offsets),
        "mix": list(importance.mix),
        "block": None if regions is None else 1 << regions.block_bits,
        "rectangles": [one._asdict() for one in regions.rectangles] if regions else [],
    }


def _duration(times: list[int], header: StreamHeader) -> float | None:
    """Seconds from the first to the last packet's time."""
    if len(times) < 2:
        return None
    return float((max(times) - min(times)) * Fraction(*header.time_base))
