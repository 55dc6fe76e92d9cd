"""Descriptions for the eye: the tables of `fcmrt inspect`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .text import count, counted, size, table

Description = dict[str, Any]

PACKETS_SHOWN = 20
OFFSETS_SHOWN = 4

_PACKET_HEAD = (
    *("packet", "pts", "bytes", "bits/element", "step d", "lanes", "segments"),
    "importance",
)


def listing(description: Description) -> str:
    """Writes a description as `describe` gives it."""
    kinds = {"engine": _engine, "file": _file, "header": _header_alone, "packet": _packet_alone}
    return "\n".join(kinds[description["kind"]](description))


def _section(title: str, rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> list[str]:
    return ["", title, table(rows, indent=2, right=right)] if rows else []


def _engine(engine: Description) -> list[str]:
    quality, steps = engine["quality"], engine["steps"]
    levels = quality["levels"]
    padding = engine["padding"]
    rows = [
        ("name", engine["name"]),
        ("family", engine["family"]),
        ("profile", engine["profile"]),
        ("digest", engine["digest"]),
        ("quality", f"1 to {len(levels)}, default {quality['default']}, by {_mechanism(quality)}"),
        (
            "steps d",
            f"{steps['first']} to {steps['last']}; by level: {', '.join(map(str, levels))}",
        ),
        ("padding", f"{padding['mode']} to multiples of {padding['multiple']}, {padding['align']}"),
    ]
    lines = [f"engine, {size(engine['bytes'])}", table(rows, indent=2)]
    lines += _section(
        "features",
        [
            (level["name"], f"{level['channels']} channels", f"stride {level['stride']}")
            for level in engine["features"]
        ],
    )
    lines += _section("latents", [(name, _latent(name, engine)) for name in engine["latents"]])
    for side in ("encode", "decode"):
        numbered = enumerate(engine[side], 1)
        lines += _section(side, [(f"{n}", *_step(step)) for n, step in numbered], right=(0,))
    lines += _section(
        "graphs", [(name, size(graph["bytes"])) for name, graph in engine["graphs"].items()], (1,)
    )
    lines += _section(
        "tables",
        [
            (
                name,
                size(tables["bytes"]),
                f"{tables['count']} tables of integers within {tables['least']} to "
                f"{tables['greatest']}",
            )
            for name, tables in engine["tables"].items()
        ],
        (1,),
    )
    card = [(key, _short(value)) for key, value in engine["card"].items()]
    return lines + _section("card", card)


def _mechanism(quality: Description) -> str:
    if quality["mechanism"] == "gain":
        return f"gain (graphs read {quality['input']})"
    return "quantiser step"


def _latent(name: str, engine: Description) -> str:
    latent = engine["latents"][name]
    source = engine["tensors"][latent["source"]]
    parts = [f"{source['channels']} channels, stride {source['stride']}"]
    if latent["channels"] is not None:
        parts.append("channels {} to {}".format(latent["channels"][0], latent["channels"][1] - 1))
    if latent["parity"] is not None:
        parts.append(f"{latent['parity']} cells")
    indexes = latent["indexes"]
    by = "channel" if indexes in (None, "channel") else indexes
    parts.append(f"tables {latent['tables']} by {by}")
    parts.append("no means" if latent["means"] is None else f"means {latent['means']}")
    parts.append("step d" if latent["step"] else "step 1")
    if latent["skip"]:
        parts.append(f"skip below {latent['skip']}")
    return ", ".join(parts)


def _step(step: Description) -> tuple[str, ...]:
    if "run" in step:
        flow = f"{', '.join(step['inputs'])} -> {', '.join(step['outputs'])}"
        return "run", step["run"], flow
    if "dequantize" in step:
        return "dequantize", step["dequantize"], f"-> {step['output']}"
    kind, subject = next(iter(step.items()))
    return kind, subject, ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."


def _file(file: Description) -> list[str]:
    packets = file["packets"]
    sizes = file["packet_bytes"]
    rows = [
        ("packets", f"{count(len(packets))}, {count(sizes['total'])} bytes"),
        (
            "packet size",
            f"{count(sizes['least'])} to {count(sizes['greatest'])} bytes, "
            f"median {count(round(sizes['median']))}",
        ),
    ]
    if file["duration_s"] is not None:
        rows.append(("duration", f"{file['duration_s']:g} s"))
    rows.append(("state", _state(file)))
    lines = [f"fcm file, {size(file['bytes'])}", table(rows, indent=2)]
    lines += _header(file["header"])
    shown = packets[:PACKETS_SHOWN]
    if shown:
        body = [_PACKET_HEAD, *(_packet_row(packet) for packet in shown)]
        lines += _section("packets", body, right=tuple(range(len(_PACKET_HEAD) - 1)))
    for packet in packets:
        if "error" in packet:
            lines.append(f"  packet {packet['number']} is damaged: {packet['error']}")
    if len(packets) > len(shown):
        lines.append(f"  and {len(packets) - len(shown)} more; --json lists all")
    return lines


def _state(file: Description) -> str:
    troubles = []
    if file["header_damaged"]:
        troubles.append("one copy of the header is damaged")
    if file["recovered"]:
        troubles.append("no index (still being written, or cut off); packets found by scanning")
    if file["skipped_bytes"]:
        troubles.append(f"{count(file['skipped_bytes'])} bytes belong to no packet")
    if file["damaged_packets"]:
        verb = "is" if file["damaged_packets"] == 1 else "are"
        troubles.append(f"{counted(file['damaged_packets'], 'packet')} {verb} damaged")
    return "; ".join(troubles) or "complete"


def _packet_row(packet: Description) -> tuple[str, ...]:
    if "error" in packet:
        return str(packet["number"]), str(packet.get("pts", "")), "damaged", "", "", "", "", ""
    rate = packet.get("bits_per_element")
    return (
        str(packet["number"]),
        str(packet["pts"]),
        count(packet["bytes"]),
        "" if rate is None else f"{rate:.4f}",
        str(packet["step"]),
        str(packet["lanes"]),
        str(packet["segments"]),
        _importance_in_short(packet["importance"]),
    )


def _header_alone(description: Description) -> list[str]:
    return [f"stream header, {size(description['bytes'])}", *_header(description["header"])]


def _header(header: Description) -> list[str]:
    numerator, denominator = header["time_base"]
    rows = [
        ("engine", header["engine"]),
        ("profile", header["profile"]),
        ("overhead", f"{header['coding']['overhead_permille']} per mille"),
        ("time base", f"{numerator}/{denominator} s"),
        ("picture", _extent(header["picture"])),
        ("network input", _extent(header["input"])),
    ]
    if header["runner"] is not None:
        rows.insert(2, ("runner", header["runner"]))
    rows += [(f"level {level['name']}", _level(level)) for level in header["levels"]]
    rows += [(f"note {key}", _short(value)) for key, value in header["notes"].items()]
    return _section("header", rows)


def _extent(value: Description) -> str:
    if not value["height"] or not value["width"]:
        return "unknown"
    return f"{value['width']} x {value['height']}"


def _level(level: Description) -> str:
    if not level["height"]:
        return f"{level['channels']} channels, {level['dtype']}, sizes in every packet"
    return f"[{level['channels']}, {level['height']}, {level['width']}], {level['dtype']}"


def _importance(importance: Description | None) -> str:
    if importance is None:
        return "the same step everywhere"
    parts = []
    if importance["offsets"]:
        parts.append("offsets by group " + ", ".join(f"{n:+d}" for n in importance["offsets"]))
    if importance["mix"]:
        channels = ", ".join(map(str, importance["mix"]))
        parts.append(f"one step more for the first channels by group {channels}")
    if importance["rectangles"]:
        steps = sorted({one["offset"] for one in importance["rectangles"]})
        parts.append(
            f"{counted(len(importance['rectangles']), 'rectangle')} of "
            f"{importance['block']}-cell blocks at " + ", ".join(f"{step:+d}" for step in steps)
        )
    return "; ".join(parts)


def _importance_in_short(importance: Description | None) -> str:
    """Describes an importance briefly, for a table; blank where the step is the same everywhere."""
    if importance is None:
        return ""
    parts = []
    if importance["offsets"]:
        shown = [f"{n:+d}" for n in importance["offsets"][:OFFSETS_SHOWN]]
        more = "..." if len(importance["offsets"]) > OFFSETS_SHOWN else ""
        parts.append(f"offsets {' '.join(shown)}{more}")
    if importance["mix"]:
        parts.append("mix")
    if importance["rectangles"]:
        parts.append(counted(len(importance["rectangles"]), "rectangle"))
    return ", ".join(parts)


def _packet_alone(packet: Description) -> list[str]:
    geometry = packet["geometry"]
    sizes = "as in the stream header"
    if geometry is not None:
        sizes = ", ".join(f"{height} x {width} cells" for height, width in geometry)
        sizes += " (finest level)" if len(geometry) == 1 else ""
    rows = [
        ("quality step d", str(packet["step"])),
        ("importance", _importance(packet["importance"])),
        ("lanes", str(packet["lanes"])),
        ("segments", str(packet["segments"])),
        ("sizes", sizes),
    ]
    lines = [f"packet, {count(packet['bytes'])} bytes", table(rows, indent=2)]
    accounting = [
        (part, count(spent), f"{100 * spent / packet['bytes']:.1f} %")
        for part, spent in packet["accounting"].items()
    ]
    lines += _section("bytes", accounting, right=(1, 2))
    return lines + (_header(packet["header"]) if "header" in packet else [])
