"""What an engine's networks take by themselves, run as the device path runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fcmrt.executor import executor_for
from fcmrt.ondevice.graph_run import GraphRun
from fcmrt.ondevice.machine import machine_for
from fcmrt.ondevice.sequence import Launches
from fcmrt.schedule import Dequantize, Run
from fcmrt.spec import tensor_size

from .gpu_timing import time_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    import fcmrt
    from fcmrt.manifest import Manifest
    from fcmrt.ondevice.graph_run import Tensors
    from fcmrt.ondevice.machine import DeviceMachine
    from fcmrt.spec import Size

    from .gpu_timing import Effort, Stopwatch
    from .report import Row

_DEVIATION = 2.0  # of what networks are given


def network_rows(
    engine: fcmrt.Engine,
    options: fcmrt.RuntimeOptions,
    padded: Size,
    packets: int,
    stopwatch: Stopwatch,
    effort: Effort,
) -> list[Row]:
    """Time each run of a network, recorded in a CUDA graph as the codec does if it can be.

    The runs are those of encoder and decoder, between arrays of a batch, on drawn values; time is
    the device's, without what it costs the host to launch them.

    Args:
        engine: The codec.
        options: Those of its encoder and decoder; on the device, with graphs.
        padded: Size of the padded finest level, in cells.
        packets: Of the batch.
        stopwatch: Of the stream that is current.
        effort: How often.

    Returns:
        `direction`, `graph`, `ms`, and whether it was `recorded`, in the order of the schedule.

    Raises:
        FcmrtError: As of an encoder's first call.
    """
    machine = machine_for(executor_for(engine, options), options)
    if machine is None:
        raise ValueError("the options leave the coder on the host")
    manifest = engine.manifest
    rows: list[Row] = []
    for direction, steps in (("encode", manifest.encode), ("decode", manifest.decode)):
        with machine.turn():
            tensors = _drawn(machine, manifest, padded, packets)
            for step in steps:
                if not isinstance(step, Run):
                    continue
                run = GraphRun(machine, step, tensors, padded, packets)
                launches = Launches(machine, run.launch, run.capturable)
                samples = time_call(stopwatch, launches.launch, effort)
                rows.append(
                    {
                        "direction": direction,
                        "graph": step.graph,
                        "ms": 1e3 * float(np.median(samples.device)),
                        "recorded": run.capturable and machine.captures,
                        "sm_mhz": samples.sm_mhz,
                    }
                )
    return rows


def networks_ms(rows: Sequence[Row], direction: str) -> float | None:
    """Add up what the networks of one side take, ms; None where they could not be timed."""
    taken = [float(row["ms"]) for row in rows if row.get("direction") == direction]
    return sum(taken) if taken else None


def _drawn(machine: DeviceMachine, manifest: Manifest, padded: Size, packets: int) -> Tensors:
    """Give what networks read and do not write: features, dequantised latents, the quality."""
    rng = np.random.default_rng(0)
    specs: dict[str, Any] = {feature.name: feature.tensor for feature in manifest.features}
    for step in (*manifest.encode, *manifest.decode):
        if isinstance(step, Dequantize):
            specs[step.output] = manifest.tensors[manifest.latents[step.latent].source]
    arrays = {}
    for name, spec in specs.items():
        shape = (packets, spec.channels, *tensor_size(spec, padded))
        arrays[name] = np.rint(rng.normal(0, _DEVIATION, shape)).astype(np.float32)
    if manifest.quality.input is not None:
        position = manifest.quality.position(manifest.steps.first)
        arrays[manifest.quality.input] = np.full((packets, 1, 1, 1), position, np.float32)
    return {name: machine.device.upload(array) for name, array in arrays.items()}
