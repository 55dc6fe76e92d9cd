"""Compares an engine's networks with the PyTorch networks that it was made of, step by step.

Every graph is given what the PyTorch networks had before it, so that what differs arises there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcmrt.export.reference import TorchReference
from fcmrt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    import fcmrt
    from fcmrt.export import Deployment
    from fcmrt.verify import Configuration, Stage

    from .codec_samples import Features
    from .report import Row


def against_networks(
    engine: fcmrt.Engine,
    deployment: Deployment | None,
    pictures: Sequence[Features],
    runners: Sequence[Configuration],
    quality: float | None = None,
) -> list[Row]:
    """Count integers that differ, and measure how far features are apart.

    Args:
        engine: Made of the deployment.
        deployment: With the PyTorch networks; None: there are none, and the engine's graphs as the
            reference computes them stand in for them.
        pictures: float32 `[C, H, W]` by level.
        runners: Ways to run the engine.
        quality: Quality level; None: the engine's default.

    Returns:
        A row for each runner.

    Raises:
        AssertionError: A runner failed.
    """
    found = verify(
        engine,
        pictures,
        quality=quality,
        repeats=1,
        reference=None if deployment is None else TorchReference(deployment),
        configurations=runners,
    )
    return [
        _row(one.name, len(pictures), [s for s in found.stages if s.configuration == one.name])
        for one in runners
    ]


def _row(runner: str, pictures: int, stages: Sequence[Stage]) -> Row:
    failed = [stage.error for stage in stages if stage.error]
    if failed:
        raise AssertionError(f"{runner}: {failed[0]}")
    symbols = [stage for stage in stages if stage.step.startswith("symbols ")]
    outputs = [stage for stage in stages if stage.side == "decode" and stage.floats]
    return {
        "runner": runner,
        "pictures": pictures,
        "symbols": sum(stage.integers for stage in symbols),
        "differing": sum(stage.differing for stage in symbols),
        "ties": sum(stage.ties for stage in symbols),
        "features": max(stage.relative for stage in outputs),
    }
