"""CompressAI's way on a GPU, timed: whole calls, and of each what is spent in networks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from . import report
from .compressai_path import CompressAiPath
from .gpu_device import sm_megahertz
from .gpu_networks import in_half, watch
from .gpu_timing import warmed_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from fcmrt.export.deployment import Deployment
    from fcmrt.spec import Size

    from .attempts import Attempts
    from .gpu_networks import Watched
    from .gpu_timing import Effort
    from .report import Row

SYSTEM = "compressai"


class Place:
    """Where CompressAI's way is run.

    Args:
        device: A name of PyTorch's.
        event: Makes an event of it.
        synchronize: Waits for it.
    """

    def __init__(
        self, device: str, event: Callable[[], Any], synchronize: Callable[[], None]
    ) -> None:
        self.device, self.event, self.synchronize = device, event, synchronize


def setting_rows(
    deployment: Deployment,
    innermost: bool,
    levels: Sequence[Tensor],
    padded: Size,
    ans: Any,
    place: Place,
    effort: Effort,
    attempts: Attempts,
) -> list[Row]:
    """Time both directions, after a look at whether what was encoded is decoded.

    Args:
        deployment: The codec.
        innermost: Whether channels are innermost in memory.
        levels: float32 `[1, C, H, W]` in the place, padded already, finest first.
        padded: Size of the finest level.
        ans: What looks like `compressai.ans`.
        place: Where.
        effort: How often.
        attempts: What fails is a row with the `error`.
    """
    setting = "channels innermost" if innermost else "channels outermost"
    head: Row = {"system": SYSTEM, "setting": setting}

    def work() -> list[Row]:
        path = CompressAiPath(in_half(deployment, innermost), place.device, ans)
        watches = watch(path.networks, place.event)
        strings = path.compress(levels, 0, padded)
        require_decoded(path, strings, padded)
        calls: dict[str, Callable[[], object]] = {
            "encode": lambda: path.compress(levels, 0, padded),
            "decode": lambda: path.decompress(strings, 0, padded),
        }
        size = sum(map(len, strings))
        rows: list[Row] = []
        for direction, call in calls.items():
            own = {**head, "direction": direction}

            def one(own: Row = own, call: Callable[[], object] = call) -> list[Row]:
                taken = timed(call, watches, effort, place.synchronize)
                return [{**own, **figures(taken), "bytes": size, "sm_mhz": sm_megahertz()}]

            rows += attempts.rows(own, one)
        return rows

    return attempts.rows(head, work)


def require_decoded(path: CompressAiPath, strings: Sequence[bytes], padded: Size) -> None:
    """Decode what was encoded last.

    Raises:
        AssertionError: Other symbols came back.
    """
    coded = path.symbols
    path.decompress(strings, 0, padded)
    for name, symbols in coded.items():
        differing = int((symbols.cpu() != path.symbols[name].cpu()).sum())
        if differing:
            raise AssertionError(f"{differing} symbols of {name} came back as others")


def timed(
    call: Callable[[], object],
    watches: dict[str, Watched],
    effort: Effort,
    synchronize: Callable[[], None],
) -> list[tuple[float, float]]:
    """Time a call: ms on the wall, and of it in networks, after a warm-up."""

    def sample() -> tuple[float, float]:
        for one in watches.values():
            one.pairs.clear()  # of calls outside of the clock
        synchronize()
        begun = time.perf_counter()
        call()
        synchronize()
        whole = 1e3 * (time.perf_counter() - begun)
        return whole, sum(one.take_ms() for one in watches.values())

    return [sample() for _ in warmed_up(lambda: 1e-3 * sample()[0], effort)]


def figures(taken: Sequence[tuple[float, float]]) -> Row:
    """Give the figures of a row; what is no network is the rest of each call."""
    whole, networks = np.array(taken, float).T
    found = report.median_and_spread(whole)
    return {
        "whole_ms": found["median"],
        "spread": found["spread"],
        "networks_ms": float(np.median(networks)),
        "rest_ms": float(np.median(whole - networks)),
    }
