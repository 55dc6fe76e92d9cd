"""One number, one mutated input: what the fuzzers feed to which target."""

from __future__ import annotations

import random
from typing import NamedTuple

from . import corpus, mend
from .engine_edits import edit_graph, edit_manifest, edit_tables
from .fields import Field, emit, file_parts, header_fields, packet_fields, tamper
from .mutations import mutate

WEIGHTS = {"packet": 32, "self-contained": 14, "header": 12, "file": 16, "engine": 26}
"""How often each target is drawn."""


class Case(NamedTuple):
    """A mutated input."""

    target: str
    """Name in `targets.TARGETS`."""
    subject: str
    """Which engine it belongs to, one of `corpus.SUBJECTS`."""
    data: bytes
    mended: bool
    """Whether checksums were made right after the mutation."""
    how: str
    """Names of the mutations."""


def make_case(seed: int, index: int) -> Case:
    """Makes an input; it follows from the two numbers and the corpus alone.

    Every second one is mended.
    """
    rng = random.Random(f"{seed} {index}")
    target = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    subject = rng.choice(corpus.SUBJECTS)
    mended = index % 2 == 1
    data, how = _MAKERS[target](rng, subject, mended)
    return Case(target, subject, data, mended, how)


def _levels(subject: str) -> int:
    return len(corpus.engine(subject).manifest.features)


def _tampered(rng: random.Random, fields: list[Field]) -> list[Field]:
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        fields = tamper(rng, fields) or fields
    return fields


def _packet(rng: random.Random, subject: str, mended: bool) -> tuple[bytes, str]:
    if mended and rng.random() < 0.1:
        return corpus.forged(subject, rng), "forged"
    pool = corpus.packets(subject)
    data, other = rng.choice(pool), rng.choice(corpus.packets(rng.choice(corpus.SUBJECTS)))
    if rng.random() < 0.5:
        data, how = emit(_tampered(rng, packet_fields(data, _levels(subject)))), "fields"
    else:
        data, how = mutate(rng, data, other if rng.random() < 0.2 else rng.choice(pool))
    return mend.mend_packet(data, corpus.engine(subject).digest) if mended else data, how


def _header(rng: random.Random, subject: str, mended: bool) -> tuple[bytes, str]:
    pool = corpus.headers(subject)
    # The last one is notes for the greatest part.
    data = rng.choices(pool, (3, 3, 2))[0]
    if rng.random() < 0.6:
        fields, how = _tampered(rng, header_fields(data)), "fields"
        if mended and rng.random() < 0.9:
            return mend.refit_header(emit(fields[4:-1]), emit(fields[:3])), how
        data = emit(fields)
    else:
        data, how = mutate(rng, data, rng.choice(pool))
    return mend.mend_header(data) if mended else data, how


def _self_contained(rng: random.Random, subject: str, mended: bool) -> tuple[bytes, str]:
    header, packet = rng.choice(corpus.headers(subject)), rng.choice(corpus.packets(subject))
    digest = corpus.engine(subject).digest
    part = rng.choice(("header", "packet", "whole"))
    if part == "header":
        changed, how = _header(rng, subject, mended)
        return changed + packet, f"header:{how}"
    if part == "packet":
        changed, how = _packet(rng, subject, mended)
        return header + changed, f"packet:{how}"
    data, how = mutate(rng, header + packet, rng.choice(corpus.packets(subject)))
    return mend.mend_self_contained(data, digest) if mended else data, how


def _file(rng: random.Random, subject: str, mended: bool) -> tuple[bytes, str]:
    pool = corpus.files(subject)
    data, how = rng.choice(pool), "fields"
    if rng.random() < 0.5:
        data, how = mutate(rng, data, rng.choice(pool))
    else:
        parts = file_parts(data, _levels(subject))
        k = rng.randrange(len(parts))
        parts[k] = _tampered(rng, parts[k])
        if 1 <= k <= 2 and mended:
            # Both copies alike, and of the length that the file tells.
            body = emit(parts[k][4:-1])
            parts[1] = parts[2] = [Field("bytes", mend.refit_header(body))]
            parts[0] = [parts[0][0], Field("u32", len(emit(parts[1])))]
        elif k > 3 and k % 2 == 0 and mended and parts[k - 1][0].value == b"FCMP":
            parts[k - 1][1] = Field("u32", len(emit(parts[k])))
        data = b"".join(map(emit, parts))
    return mend.mend_file(data, corpus.engine(subject).digest) if mended else data, how


def _engine(rng: random.Random, subject: str, mended: bool) -> tuple[bytes, str]:
    if rng.random() < 0.2:
        other = corpus.engine_file(rng.choice(corpus.SUBJECTS))
        data, how = mutate(rng, corpus.engine_file(subject), other)
        return mend.mend_archive(data) if mended else data, f"archive:{how}"
    members = dict(corpus.members(subject))
    if rng.random() < 0.2:
        records = mend.archive_fields(tuple(members.items()))
        k = rng.randrange(len(records))
        records[k] = _tampered(rng, records[k])
        data = b"".join(map(emit, records))
        return mend.mend_archive(data) if mended else data, "directory"
    names = list(members)
    name = "manifest.json" if rng.random() < 0.35 else rng.choice(names[1:])
    content = members[name]
    if rng.random() < 0.25:
        others = dict(corpus.members(rng.choice(corpus.SUBJECTS)))
        kin = [n for n in others if n.split("/")[0] == name.split("/")[0]] or names
        members[name], how = mutate(rng, content, others.get(rng.choice(kin), content))
    elif name == "manifest.json":
        members[name], how = edit_manifest(rng, content), "edit"
    elif name.startswith("tables/"):
        members[name], how = edit_tables(rng, content), "edit"
    else:
        members[name], how = edit_graph(rng, content), "edit"
    if mended:
        rest = tuple((n, data) for n, data in members.items() if n != "manifest.json")
        members["manifest.json"] = mend.mend_manifest(members["manifest.json"], rest)
    return mend.archive(tuple(members.items())), f"{name.split('/')[0]}:{how}"


_MAKERS = {
    "packet": _packet,
    "self-contained": _self_contained,
    "header": _header,
    "file": _file,
    "engine": _engine,
}
