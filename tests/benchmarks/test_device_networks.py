"""Networks by themselves, on the emulator, as encoder and decoder there launch them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.device_networks import network_rows, networks_ms
from fcmrt import Engine
from fcmrt.schedule import Run
from tests.features import random_features
from tests.ondevice.conftest import OnDevice

from .gpu_stand_ins import EFFORT, HostStopwatch

PACKETS = 2
CALLS = 2 + 2 * EFFORT.rounds  # of the warm-up, by the wall, on the device


def rows_of(there: OnDevice, engine: Engine, graphs: bool) -> list[dict[str, Any]]:
    options = dataclasses.replace(there.options, cuda_graphs=graphs)
    return network_rows(engine, options, (16, 16), PACKETS, HostStopwatch(), EFFORT)


@pytest.mark.parametrize("graphs", [True, False])
def test_every_run_is_timed_as_it_is_launched(
    there: OnDevice, engine: Engine, graphs: bool
) -> None:
    device = there.device
    before = device.replays
    rows = rows_of(there, engine, graphs)
    wanted = [
        (direction, step.graph)
        for direction in ("encode", "decode")
        for step in getattr(engine.manifest, direction)
        if isinstance(step, Run)
    ]
    assert [(row["direction"], row["graph"]) for row in rows] == wanted
    assert all(row["ms"] > 0 and row["recorded"] is graphs for row in rows)
    # All but the first launch are replays.
    assert device.replays - before == graphs * len(rows) * (CALLS - 1)
    for direction in ("encode", "decode"):
        own = [row["ms"] for row in rows if row["direction"] == direction]
        assert networks_ms(rows, direction) == pytest.approx(sum(own))


def test_encoders_work_beside_it(there: OnDevice, engine: Engine) -> None:
    encoder = there.encoder(engine)
    features = random_features(engine, (13, 16), 0, PACKETS)
    wanted = [bytes(packet) for packet in encoder.encode(features)]
    rows_of(there, engine, True)
    assert [bytes(packet) for packet in encoder.encode(features)] == wanted


def test_networks_that_could_not_be_timed_add_up_to_nothing() -> None:
    assert networks_ms([{"stage": "networks", "error": "planted"}], "encode") is None
