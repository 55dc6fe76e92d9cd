"""Packets become the integers and features on the device that the host makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine
from fcmrt.bitstream import EVEN
from fcmrt.errors import (
    BitstreamError,
    ChecksumError,
    DriftError,
    DTypeError,
    NonFiniteError,
    ShapeError,
)
from fcmrt.ondevice.decoding import DecodeSequence
from tests import engines, level_engine
from tests.features import random_features
from tests.fuzz.forge import forge
from tests.fuzz.mend import mend_packet

from .conftest import HOST, OnDevice, Resident


def assert_equal(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert list(ours) == list(theirs)
        for name, array in theirs.items():
            assert ours[name].dtype == array.dtype
            np.testing.assert_array_equal(ours[name], array)


def packets_of(engine: Engine, sizes: Any, seed: int, scale: float = 3, **wish: Any) -> list[bytes]:
    encoder = Encoder(engine, options=HOST)
    return [
        bytes(encoder.encode(random_features(engine, size, seed + n, scale=scale), **wish))
        for n, size in enumerate(sizes)
    ]


def test_features_are_those_of_the_host(there: OnDevice, engine: Engine) -> None:
    """Three calls: launch by launch, recorded, and replayed with all else that may differ."""
    ours, host = there.decoder(engine), Decoder(engine, options=HOST)
    replays = there.device.replays
    lowest = len(engine.manifest.quality.levels)
    for call, sizes in enumerate(
        [[(11, 14), (12, 13)], [(12, 14), (11, 13)], [(12, 13), (11, 14)]]
    ):
        packets = packets_of(engine, sizes, call, (3, 1, 9)[call], quality=1 + call % lowest)
        there.device.begin(strict=call > 0)
        assert_equal(ours.decode(packets), host.decode(packets))
    assert there.device.replays == replays + 4  # integers, and then features


def test_a_batch_of_many_kinds(there: OnDevice) -> None:
    """Sizes, steps and importances side by side; the same again, from recordings."""
    engine = Engine.load(level_engine.level_parts().pack())
    packets = [
        *packets_of(engine, [(9, 11), (17, 3), (16, 16)], 0, quality=1),
        *packets_of(engine, [(16, 10)], 5, step=9),
        *packets_of(engine, [(16, 16), (10, 12)], 7, roi=[(0.1, 0.2, 0.6, 0.9)]),
        *packets_of(engine, [(16, 15)], 9, level_offsets={"p3": -3}),
    ]
    ours, wanted = there.decoder(engine), Decoder(engine, options=HOST).decode(packets)
    for order in range(3):
        turned = packets[order:] + packets[:order]
        there.device.begin(strict=order == 2)
        assert_equal(ours.decode(turned), wanted[order:] + wanted[:order])
    there.device.begin()
    assert_equal([ours.decode(packets[0])], wanted[:1])
    assert ours.decode([]) == []


def test_segments_and_lanes(there: OnDevice) -> None:
    """Layouts that no encoder chooses for so little, one after another through one recording."""
    engine = Engine.load(engines.hyperprior_parts().pack())
    ours, host = there.decoder(engine), Decoder(engine, options=HOST)
    rng = np.random.default_rng(3)
    for lanes, segments in ((1, 1), (32, 9), (4, 3), (2, 40)):
        packet = forge(engine, ((11, 13), (6, 7)), -3, lanes, segments, EVEN, rng)
        assert_equal([ours.decode(packet)], [host.decode(packet)])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_arrays_that_are_handed_out(there: OnDevice, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    engine = Engine.load(engines.context_parts().pack())
    packets = packets_of(engine, [(9, 11), (8, 12)], 1)
    wanted = Decoder(engine, options=HOST, dtype=dtype).decode(packets)
    for output in "numpy", "cupy", "torch":
        found = there.decoder(engine, output=output, dtype=dtype).decode(packets)
        kind = torch.Tensor if output == "torch" else np.ndarray
        assert all(type(array) is kind for features in found for array in features.values())
        as_arrays = [{name: np.asarray(a) for name, a in features.items()} for features in found]
        assert_equal(as_arrays, wanted)


def test_the_callers_arrays(there: OnDevice) -> None:
    engine = Engine.load(engines.context_parts().pack())
    (packet,) = packets_of(engine, [(9, 11)], 1)
    wanted = Decoder(engine, options=HOST).decode(packet)
    empty = {name: np.zeros_like(array) for name, array in wanted.items()}
    empty["f4"] = empty["f4"].astype(np.float16)
    resident = {name: Resident(there.device, array) for name, array in empty.items()}
    mixed = {"f3": empty["f3"], "f4": resident["f4"]}
    ours = there.decoder(engine)
    for out in empty, resident, mixed:
        found = ours.decode(packet, out=out)
        assert all(found[name] is out[name] for name in wanted)
        for name, array in wanted.items():
            held = found[name].get() if isinstance(found[name], Resident) else found[name]
            np.testing.assert_array_equal(held, array.astype(held.dtype))
    with pytest.raises(ShapeError, match="f3"):
        ours.decode(packet, out={"f3": empty["f3"][:, :3], "f4": empty["f4"]})
    with pytest.raises(DTypeError, match="f4"):
        ours.decode(packet, out=empty | {"f4": empty["f4"].astype(np.float64)})
    with pytest.raises(ShapeError, match="mappings"):
        ours.decode([packet], out=[])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_overflow_are_an_error(
    there: OnDevice, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    """Where they come to the host; on the device nobody waits for them."""
    engine = Engine.load(engines.context_parts().pack())
    packets = packets_of(engine, [(9, 11), (8, 12)], 1)
    crop = DecodeSequence.crop

    def overflowing(self: DecodeSequence, n: int, targets: Any) -> None:
        crop(self, n, targets)
        if targets["f3"].shape[1:] == (8, 12):
            there.device.write(targets["f3"], bad)

    monkeypatch.setattr(DecodeSequence, "crop", overflowing)
    with pytest.raises(NonFiniteError, match="f3 came out of the networks") as caught:
        there.decoder(engine).decode(packets)
    assert caught.value.packet_index == 1
    half = there.decoder(engine, dtype="float16")
    if np.isnan(bad):
        with pytest.raises(NonFiniteError):
            half.decode(packets)
    else:
        assert np.isinf(half.decode(packets)[1]["f3"]).all()
    found = there.decoder(engine, output="cupy").decode(packets)
    assert not np.isfinite(np.asarray(found[1]["f3"])).any()


def damaged(engine: Engine, packet: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(packet)
    data[rng.integers(len(data) // 3, len(data) - 2)] ^= 1 << rng.integers(8)
    return mend_packet(bytes(data), engine.digest)


def failure(decoder: Decoder, packets: Any) -> tuple[type, int | None] | None:
    try:
        decoder.decode(packets)
    except BitstreamError as error:
        return type(error), error.packet_index
    return None


@pytest.mark.parametrize("kind", ["hyperprior", "context"])
def test_damage_is_the_error_that_it_is_on_the_host(there: OnDevice, kind: str) -> None:
    """Bits of the payload, under a right checksum; neighbours do not notice."""
    parts = engines.hyperprior_parts() if kind == "hyperprior" else engines.context_parts()
    engine = Engine.load(parts.pack())
    ours, host = there.decoder(engine), Decoder(engine, options=HOST)
    rng = np.random.default_rng(1)
    good = packets_of(engine, [(12, 12)] * 4, 0)
    found = set()
    for _ in range(6):
        packets = list(good)
        for n in rng.choice(4, 2, replace=False):
            packets[n] = damaged(engine, good[n], rng)
        wanted = failure(host, packets)
        assert failure(ours, packets) == wanted
        found.add(wanted)
    assert {kind for kind, _ in found if kind is not None} >= {DriftError}
    assert_equal(ours.decode(good), host.decode(good))


def test_the_first_failure_counts(there: OnDevice) -> None:
    """Whether it is found by the host, before any launch, or by the device."""
    engine = Engine.load(engines.hyperprior_parts().pack())
    ours, host = there.decoder(engine), Decoder(engine, options=HOST)
    good = packets_of(engine, [(12, 12)] * 3, 0)
    torn = good[1][:-1]
    rng = np.random.default_rng(1)
    drifting = next(
        packet
        for packet in (damaged(engine, good[0], rng) for _ in range(50))
        if failure(host, packet) == (DriftError, None)
    )
    for packets, wanted in (
        ([good[0], torn, drifting], (ChecksumError, 1)),
        ([drifting, torn, good[2]], (DriftError, 0)),
        ([good[0], good[1], drifting], (DriftError, 2)),
        (torn, (ChecksumError, None)),
        (drifting, (DriftError, None)),
    ):
        assert failure(host, packets) == wanted
        assert failure(ours, packets) == wanted


def test_importance_that_does_not_fit(there: OnDevice) -> None:
    """A packet of an engine whose latents take no step, which tells of steps."""
    engine = Engine.load(engines.factorized_parts().pack())
    (packet,) = packets_of(engine, [(8, 8)], 0)
    # Flags, step, importance: one group's offset, no mixes, no regions.
    forged = bytes([packet[0] | 0x80, packet[1], 1, 2]) + packet[2:]
    forged = mend_packet(forged, engine.digest)
    wanted = failure(Decoder(engine, options=HOST), forged)
    assert wanted is not None
    assert failure(there.decoder(engine), forged) == wanted


def test_decoders_share_their_recordings(there: OnDevice) -> None:
    """Encoders and decoders are cheap to make: what is behind them stays with the engine."""
    engine = Engine.load(engines.factorized_parts().pack())
    packets = packets_of(engine, [(6, 8)] * 3, 0)
    replays = there.device.replays
    for packet in packets:
        wanted = Decoder(engine, options=HOST).decode(packet)
        assert_equal([there.decoder(engine).decode(packet)], [wanted])
    assert there.device.replays == replays + 4
