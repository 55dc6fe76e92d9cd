"""Options of a wrong type: whatever is given, nothing but an `FcmrtError` is raised."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fcmrt
from fcmrt import (
    CodingParams,
    Decoder,
    Encoder,
    Engine,
    Importance,
    Limits,
    Packet,
    Regions,
    RuntimeOptions,
    StreamHeader,
)
from fcmrt.bitstream import LevelSpec, Rectangle
from fcmrt.engine import EngineLimits
from fcmrt.errors import ConfigError, DTypeError, FcmrtError
from tests.engines import tiny_hyperprior
from tests.features import random_features
from tests.level_engine import level_parts, tiny_levels

SIZE = (8, 8)
HEADER = {"engine_digest": bytes(32), "levels": (LevelSpec(name="p", channels=1),)}


@functools.cache
def encoder() -> Encoder:
    return Encoder(tiny_levels())


@functools.cache
def features() -> Any:
    return random_features(tiny_levels(), SIZE)


@functools.cache
def packet() -> Packet:
    made = encoder().encode(features())
    assert isinstance(made, Packet)
    return made


def write(value: Any) -> None:
    with fcmrt.open(io.BytesIO(), "wb", encoder().header) as writer:
        writer.write(packet(), pts=value)


def stream() -> bytes:
    file = io.BytesIO()
    with fcmrt.open(file, "wb", encoder().header) as writer:
        writer.write(packet())
    return file.getvalue()


class Nowhere:
    """An array as PyTorch has them on "meta": there is no memory behind it."""

    dtype = "float32"

    def __dlpack__(self) -> None:
        raise ValueError("no memory")

    def __dlpack_device__(self) -> None:
        raise ValueError("unknown device")


class OnlyWrites:
    """A file that takes bytes and does nothing else."""

    def write(self, data: bytes) -> int:
        return len(data)


def of_options(kind: Callable[..., object], **rest: Any) -> dict[str, Callable[[Any], object]]:
    """A call for each field of a class of options."""
    return {
        f"{kind.__name__}.{name}": lambda value, name=name: kind(**{**rest, name: value})
        for name in kind.__annotations__
    }


def of_call(
    what: str, call: Callable[..., object], names: str
) -> dict[str, Callable[[Any], object]]:
    """A call for each option by name."""
    return {
        f"{what}({name})": lambda value, name=name: call(**{name: value}) for name in names.split()
    }


WISHES = "quality step importance target_bytes level_offsets roi roi_gain"

ENTRIES: dict[str, Callable[[Any], object]] = {
    **of_options(CodingParams),
    **of_options(RuntimeOptions),
    **of_options(Limits),
    **of_options(EngineLimits),
    **of_options(LevelSpec, name="p", channels=1),
    **of_options(StreamHeader, **HEADER),
    **of_options(Importance),
    **of_options(Regions, block_bits=0, rectangles=(Rectangle(0, 0, 1, 1, 1),)),
    **of_call(
        "Encoder",
        lambda **told: Encoder(tiny_levels(), **told).header,
        "quality params options sizes dtype time_base recorder",
    ),
    "Encoder(engine)": lambda value: Encoder(value),
    **of_call("encode", lambda **told: encoder().encode(features(), **told), f"{WISHES} pts"),
    **of_call(
        "encode_into",
        lambda **told: encoder().encode_into(features(), bytearray(1 << 16), **told),
        WISHES,
    ),
    **of_call("walk", lambda **told: encoder().walk(features(), **told), WISHES),
    **of_call(
        "importance",
        lambda **told: encoder().importance(features(), **told),
        "level_offsets roi roi_gain",
    ),
    "encode(features)": lambda value: encoder().encode(value),
    "encode(features of a level)": lambda value: encoder().encode({**features(), "p4": value}),
    "encode_into(buffer)": lambda value: encoder().encode_into(features(), value),
    "requantise(walk)": lambda value: encoder().requantise(value),
    **of_call(
        "requantise",
        lambda **told: encoder().requantise(encoder().walk(features()), **told),
        "quality step importance",
    ),
    "code(walk)": lambda value: encoder().code(value),
    "code(pts)": lambda value: encoder().code(encoder().walk(features()), value),
    "predict_weights": lambda value: encoder().predict_weights(value),
    **of_call(
        "Decoder",
        lambda **told: Decoder(tiny_levels(), **told).decode(packet()),
        "header options limits output dtype recorder",
    ),
    "Decoder(engine)": lambda value: Decoder(value),
    "decode(packet)": lambda value: Decoder(tiny_levels()).decode(value),
    "decode(packets)": lambda value: Decoder(tiny_levels()).decode([value]),
    "decode(out)": lambda value: Decoder(tiny_levels()).decode(packet(), out=value),
    "decode(outs)": lambda value: Decoder(tiny_levels()).decode([packet()], out=value),
    "decode(out of a level)": lambda value: Decoder(tiny_levels()).decode(
        packet(), out={**features(), "p4": value}
    ),
    "open(file)": lambda value: fcmrt.open(value if not isinstance(value, str) else b""),
    "open(mode)": lambda value: fcmrt.open(b"", value),
    "open(header)": lambda value: fcmrt.open(io.BytesIO(), "wb", value),
    "open(new file)": lambda value: fcmrt.open(
        io.BytesIO() if isinstance(value, str) else value, "wb", encoder().header
    ),
    "open(limits)": lambda value: fcmrt.open(b"", limits=value),
    "write(pts)": write,
    "seek_pts": lambda value: fcmrt.open(stream()).seek_pts(value),
    "Engine.load": lambda value: Engine.load(b"" if isinstance(value, str) else value),
    "Engine.builtin": lambda value: Engine.builtin(value),
}

WRONG = [
    None,
    True,
    object(),
    object,
    "text",
    "",
    "3",
    b"bytes",
    1.5,
    2.0,
    -0.0,
    float("nan"),
    float("inf"),
    0,
    3,
    -1,
    1 << 70,
    -(1 << 70),
    10**400,
    1j,
    Fraction(1, 3),
    [],
    (),
    {},
    [1, "x"],
    [None],
    [[0.1, 0.2], [0.3]],
    {"p3": "x"},
    {"p3": 1.5, "p4": None, "p5": []},
    {"p3": (1, 2, 3), "p4": 1, "p5": "ab"},
    {1: 2},
    {"p3", "p4"},
    io.StringIO("text"),
    OnlyWrites(),
    Nowhere(),
    np.zeros(3),
    np.zeros((8, 8)),
    np.zeros((2, 2), "U1"),
    np.array([object()]),
    np.array("2020-01-01", "M8[D]"),
    np.float32(2.5),
    np.int64(2),
    np.True_,
    range(3),
    Path("folder"),
    lambda *_: None,
]


@pytest.mark.parametrize("name", ENTRIES)
def test_an_option_of_a_wrong_type_is_an_error_of_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in WRONG:
        try:
            ENTRIES[name](value)
        except FcmrtError:
            continue
        except Exception as error:
            if not (isinstance(error, OSError) and isinstance(value, Path)):  # a path of nothing
                pytest.fail(f"{name} of {value!r}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("RuntimeOptions.threads", 1.5, "threads is 1.5; it must be a whole number"),
        ("RuntimeOptions.threads", True, "threads is True; it must be a whole number"),
        ("RuntimeOptions.threads", 1 << 20, "threads is 1048576; it must be 1 to 1024"),
        ("RuntimeOptions.optimise", "no", "optimise is 'no'; it must be True or False"),
        ("Limits.max_elements", 1e9, "max_elements is 1000000000.0; it must be a whole number"),
        ("Limits.max_side", 0, "max_side is 0; it must be at least 1"),
        ("Encoder(engine)", "codec.fcmrt", "engine is 'codec.fcmrt'; load it"),
        ("Encoder(time_base)", 0.04, r"time_base is 0.04;.*Fraction\(1, 25\)"),
        ("Encoder(time_base)", Fraction(0), "above 0"),
        ("Encoder(time_base)", Fraction(1, 1 << 32), "32 bits"),
        ("Encoder(sizes)", {"p3": 8, "p4": (4, 4), "p5": (2, 2)}, "size of p3 is 8"),
        ("Encoder(sizes)", {"p3": (8, 8, 8), "p4": (4, 4), "p5": (2, 2)}, "height and width"),
        ("Encoder(sizes)", {"p3": (8, 0), "p4": (4, 4), "p5": (2, 2)}, "side of p3 is 0"),
        ("Encoder(dtype)", "float64", "'float64' is not known; there are float32, float16"),
        ("Encoder(recorder)", print, "a method 'record'"),
        ("encode(pts)", 3.3, "pts is 3.3; it must be a whole number"),
        ("write(pts)", 3.3, "pts is 3.3; it must be a whole number"),
        ("encode(pts)", 1 << 63, "pts is 9223372036854775808"),
        ("encode(importance)", "yes", "importance is a str; it must be an Importance, True"),
        ("encode(roi_gain)", "3", "roi_gain is '3'; it must be a whole number"),
        ("encode(roi_gain)", 2.5, "roi_gain is 2.5; it must be a whole number"),
        ("encode(step)", 1.0, "step is 1.0; it must be a whole number"),
        ("encode(target_bytes)", 500.5, "target_bytes is 500.5; it must be a whole number"),
        ("encode(target_bytes)", 0, "target_bytes is 0; it must be 1 to"),
        ("encode(level_offsets)", {"p3": 0.5}, "offset of level 'p3' is 0.5"),
        ("Decoder(limits)", {"max_side": 8}, "limits is a dict; it must be a Limits"),
        ("Decoder(header)", b"FCMH", "header is b'FCMH'; it must be a StreamHeader"),
        ("open(file)", 5, "the file is 5; it must have a method"),
    ],
)
def test_the_error_tells_what_it_must_be(name: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ENTRIES[name](value)


def test_integers_and_paths_of_libraries_are_taken() -> None:
    options = RuntimeOptions(threads=np.int32(2), cache_dir=Path("folder"))  # type: ignore[arg-type]
    assert options == RuntimeOptions(threads=2, cache_dir="folder")
    assert type(options.threads) is int
    assert encoder().encode(features(), pts=np.int64(7)).pts == 7
    assert Encoder(tiny_levels(), time_base=2).header.time_base == (2, 1)  # type: ignore[arg-type]
    assert Encoder(tiny_levels(), quality=np.float32(1.5)).encode(features())


def test_files_open_as_text_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(stream())
    with (tmp_path / "file").open(encoding="latin-1") as file:
        for use in (fcmrt.open, Engine.load):
            with pytest.raises(ConfigError, match="is open as text; open it as bytes"):
                use(file)
    with pytest.raises(ConfigError, match="is open as text"):
        fcmrt.open(io.StringIO(), "wb", encoder().header)


def test_no_time_is_not_sought() -> None:
    with pytest.raises(ConfigError, match="pts is nan; it must be a number"):
        fcmrt.open(stream()).seek_pts(float("nan"))


def test_masked_values_are_refused_and_unmasked_ones_taken() -> None:
    def masked(mask: bool) -> dict[str, Any]:
        return {name: np.ma.masked_array(a, mask) for name, a in features().items()}

    assert encoder().encode(masked(False)) == packet()
    with pytest.raises(DTypeError, match="has masked values"):
        encoder().encode(masked(True))


def test_a_walk_of_another_engine_is_refused() -> None:
    other = tiny_hyperprior()
    walk = Encoder(other).walk(random_features(other, SIZE))
    for use in (encoder().code, encoder().requantise):
        with pytest.raises(ConfigError, match="the walk is of another engine"):
            use(walk)
    again = Engine.load(level_parts().pack())
    assert Encoder(again).code(encoder().walk(features())) == packet()
