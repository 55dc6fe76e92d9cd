"""PyTorch's networks in float16 on a GPU, and what they take within a call."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from fcmrt.export.deployment import Deployment


class Half(nn.Module):
    """A network in float16 between tensors of float32.

    Args:
        network: In float32; copied.
        innermost: Keep the channels innermost, as tensor cores take them.
    """

    def __init__(self, network: nn.Module, innermost: bool) -> None:
        super().__init__()
        self.layout = torch.channels_last if innermost else torch.contiguous_format
        self.network = copy.deepcopy(network).half().to(memory_format=self.layout)

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network."""
        found = self.network(*(x.to(torch.float16, memory_format=self.layout) for x in inputs))
        return found.float() if isinstance(found, Tensor) else tuple(x.float() for x in found)


def in_half(deployment: Deployment, innermost: bool) -> Deployment:
    """Give a copy whose networks run in float16."""
    networks = {name: Half(net, innermost) for name, net in deployment.networks.items()}
    return deployment.with_networks(networks)


class Watched(nn.Module):
    """A network that times its runs with pairs of events.

    Args:
        network: What to watch.
        event: Makes an event to record; `torch.cuda.Event(enable_timing=True)` on a GPU.
    """

    def __init__(self, network: nn.Module, event: Callable[[], Any]) -> None:
        super().__init__()
        self.network, self._event = network, event
        self.pairs: list[tuple[Any, Any]] = []

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network between two events."""
        start, end = self._event(), self._event()
        start.record()
        found = self.network(*inputs)
        end.record()
        self.pairs.append((start, end))
        return found

    def take_ms(self) -> float:
        """Give what the runs since the last time took; the device must be done."""
        pairs, self.pairs = self.pairs, []
        return sum(start.elapsed_time(end) for start, end in pairs)


def watch(networks: dict[str, nn.Module], event: Callable[[], Any]) -> dict[str, Watched]:
    """Put a watch on every network, in place, and give the watches by name."""
    watches = {name: Watched(network, event) for name, network in networks.items()}
    networks.update(watches)
    return watches


def cuda_event() -> Any:
    """Make an event of PyTorch's that can be timed."""
    return torch.cuda.Event(enable_timing=True)
