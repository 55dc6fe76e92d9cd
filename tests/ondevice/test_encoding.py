"""Features on the device become the packets that the host makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt import CodingParams, Encoder, Engine
from fcmrt.errors import ConfigError, DTypeError, ShapeError
from tests import allocating, engines, level_engine
from tests.features import random_features

from .conftest import HOST, OnDevice, Resident


def bytes_of(packets: Any) -> list[bytes]:
    return [bytes(packet) for packet in packets]


@pytest.mark.parametrize("batch", [1, 3])
def test_packets_are_those_of_the_host(there: OnDevice, engine: Engine, batch: int) -> None:
    """Three calls: launch by launch, recorded, and replayed with all else that may differ."""
    ours, host = there.encoder(engine), Encoder(engine, options=HOST)
    replays = there.device.replays
    lowest = len(engine.manifest.quality.levels)
    for call, size in enumerate([(11, 14), (12, 13), (11, 13)]):
        features = random_features(engine, size, call, batch, scale=(3, 1, 9)[call])
        quality = 1 + call % lowest
        there.device.begin(strict=call > 0)
        found = ours.encode(features, quality=quality, pts=5)
        wanted = host.encode(features, quality=quality, pts=5)
        assert bytes_of(found) == bytes_of(wanted)
        assert [(p.pts, p.elements) for p in found] == [(p.pts, p.elements) for p in wanted]
    assert there.device.replays == replays + 2


def test_steps_of_their_own(there: OnDevice) -> None:
    """Offsets, mixes and regions, of other rectangles in each replay."""
    engine = Engine.load(level_engine.level_parts().pack())
    ours, host = there.encoder(engine), Encoder(engine, options=HOST)
    wishes: list[dict[str, Any]] = [
        {"level_offsets": {"p3": -3, "p5": 2}},
        {"roi": [(0.1, 0.2, 0.4, 0.9)], "roi_gain": 5},
        {"level_offsets": {"p4": 1}, "roi": [(0.5, 0.0, 1.0, 0.3), (0.0, 0.6, 0.2, 1.0)]},
    ]
    for call, wish in enumerate(wishes):
        features = random_features(engine, (15, 13), call, 2)
        there.device.begin(strict=call > 0)
        assert bytes_of(ours.encode(features, **wish)) == bytes_of(host.encode(features, **wish))


@pytest.mark.parametrize("size", [None, 2500])
def test_predicted_importance_with_regions(there: OnDevice, size: int | None) -> None:
    """The host looks for the steps, of arrays on the device too."""
    engine = Engine.load(allocating.allocating_parts().pack())
    ours, host = there.encoder(engine), Encoder(engine, options=HOST)
    told: dict[str, Any] = {
        "importance": True,
        "target_bytes": size,
        "level_offsets": {"p4": 2},
        "roi": [(0.1, 0.2, 0.4, 0.9)],
    }
    names = [feature.name for feature in engine.manifest.features]
    features = dict(zip(names, allocating.picture(0), strict=True))
    resident = {name: Resident(there.device, array) for name, array in features.items()}
    wanted = bytes(host.encode(features, **told))
    assert bytes(ours.encode(features, **told)) == wanted
    assert bytes(ours.encode(resident, **told)) == wanted
    assert ours.predict_weights(resident) == host.predict_weights(features)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_arrays_on_the_device(there: OnDevice, dtype: type) -> None:
    engine = Engine.load(engines.context_parts().pack())
    features = {
        name: array.astype(dtype) for name, array in random_features(engine, (10, 7), 1).items()
    }
    resident = {name: Resident(there.device, array) for name, array in features.items()}
    wanted = bytes(Encoder(engine, options=HOST).encode(features))
    ours = there.encoder(engine)
    assert bytes(ours.encode(resident)) == wanted
    assert bytes(ours.encode(features)) == wanted
    buffer = bytearray(len(wanted) + 7)
    assert ours.encode_into(resident, buffer) == len(wanted)
    assert buffer == wanted + bytes(7)
    with pytest.raises(ShapeError, match=f"takes {len(wanted)}"):
        ours.encode_into(resident, bytearray(5))
    taken = ours.take(resident)
    assert all(np.array_equal(a, f) for a, f in zip(taken, features.values(), strict=True))


def test_sizes_that_the_header_tells_and_other_parameters(there: OnDevice) -> None:
    engine = Engine.load(engines.hyperprior_parts().pack())
    arguments: dict[str, Any] = {
        "sizes": {"p3": (20, 24), "p4": (10, 12)},
        "params": CodingParams(overhead_permille=900, check_bits=32),
    }
    ours = there.encoder(engine, **arguments)
    host = Encoder(engine, options=HOST, **arguments)
    for size in (20, 24), (19, 24):
        features = random_features(engine, size)
        assert bytes(ours.encode(features)) == bytes(host.encode(features))


def test_more_pictures_than_a_batch_takes(there: OnDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcmrt.ondevice.sequence._MOST_PICTURES", 2)
    engine = Engine.load(engines.factorized_parts().pack())
    features = random_features(engine, (6, 5), batch=5)
    wanted = bytes_of(Encoder(engine, options=HOST).encode(features))
    assert bytes_of(there.encoder(engine).encode(features)) == wanted


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_what_is_not_finite_is_refused(there: OnDevice, bad: float) -> None:
    engine = Engine.load(engines.hyperprior_parts().pack())
    ours = there.encoder(engine)
    features = random_features(engine, (8, 8), batch=2)
    features["p4"][1, 2, 3, 1] = bad
    with pytest.raises(DTypeError, match="p4 holds NaN or infinity"):
        ours.encode(features)
    features["p4"][1, 2, 3, 1] = 0
    wanted = bytes_of(Encoder(engine, options=HOST).encode(features))
    assert bytes_of(ours.encode(features)) == wanted


def test_latents_that_overflow_are_refused(there: OnDevice) -> None:
    """Every feature is finite; what analysis makes of the second picture's is not."""
    engine = Engine.load(engines.hyperprior_parts().pack())
    ours = there.encoder(engine)
    features = random_features(engine, (8, 8), batch=2)
    sound = {name: level.copy() for name, level in features.items()}
    features["p4"][1] = 3e38
    with pytest.raises(DTypeError, match=r"latent '\w+' came out of the networks with NaN"):
        ours.encode(features)
    wanted = bytes_of(Encoder(engine, options=HOST).encode(sound))
    assert bytes_of(ours.encode(sound)) == wanted


def test_what_the_host_does(there: OnDevice) -> None:
    """A wished size is searched by the host's kernels; features come down for it."""
    engine = Engine.load(engines.hyperprior_parts().pack())
    features = random_features(engine, (24, 24))
    resident = {name: Resident(there.device, array) for name, array in features.items()}
    wanted = Encoder(engine, options=HOST).encode(features, target_bytes=1000)
    assert bytes(there.encoder(engine).encode(resident, target_bytes=1000)) == bytes(wanted)


def test_wrong_arguments(there: OnDevice) -> None:
    engine = Engine.load(engines.factorized_parts().pack())
    ours = there.encoder(engine)
    features = random_features(engine, (8, 8))["f"]
    with pytest.raises(DTypeError, match="float64"):
        ours.encode(features.astype(np.float64))
    with pytest.raises(ShapeError, match="channels"):
        ours.encode(Resident(there.device, features[:3]))
    with pytest.raises(ConfigError, match="step"):
        ours.encode(features, step=3)
    with pytest.raises(ConfigError, match="no step"):
        ours.encode(features, roi=[(0, 0, 1, 0.5)])
