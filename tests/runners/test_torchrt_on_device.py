"""PyTorch's networks on a GPU on paper: pools, streams, and memory that is short."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fcmrt.errors import DeviceError
from fcmrt.kernels.cuda.recordings import recording
from fcmrt.onnxgraph import read_graph

from .. import engines

torch = pytest.importorskip("torch")

from fcmrt.runners.torchrt import on_device, pools  # noqa: E402
from fcmrt.runners.torchrt.program import Placement  # noqa: E402
from fcmrt.runners.torchrt.settings import Settings  # noqa: E402

from .strict_torch_cuda import GPU, StrictTorchCuda  # noqa: E402

SETTINGS = Settings(onednn=False, cudnn=True)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictTorchCuda]:
    made = StrictTorchCuda()
    made.install(monkeypatch)
    pools.drop_pools()
    yield made
    assert made.mistakes == []
    pools.drop_pools()


def load() -> Any:
    graph = read_graph(engines.tiny_hyperprior().graph("synthesis"), "synthesis")
    placement = Placement(GPU, torch.float32, channels_last=False)
    return on_device.DeviceTorchNetwork("synthesis", graph, placement, SETTINGS, 1)


def launch(network: Any, stream: int = 4712) -> Any:
    found = np.zeros((1, 8, 2, 2), np.float32)
    network.launch({"y_hat": np.ones((1, 12, 2, 2), np.float32)}, {"p4_hat": found}, stream)
    return found


def during(network: Any, act: Callable[[], Any]) -> None:
    """Lets something happen in the middle of a network's runs."""
    call = network._program._calls[0]
    right = call.function
    call.function = lambda *arguments: (act(), right(*arguments))[1]


def lose_a_network() -> None:
    """Leaves a network in a cycle, which only a collection finds."""
    network = load()
    launch(network)
    network.itself = network


@pytest.mark.parametrize(("stream", "wanted"), [(0, 0), (1, 0), (2, 2), (4712, 4712)])
def test_the_stream_that_is_asked_for(cuda: StrictTorchCuda, stream: int, wanted: int) -> None:
    """0 and 1 are both the default one."""
    assert launch(load(), stream).any()
    assert cuda.events == ["pool", f"stream {wanted}", "no pool"]


@pytest.mark.parametrize("offset", [0, 1, 4, 8])
def test_where_a_picture_begins_is_not_seen(cuda: StrictTorchCuda, offset: int) -> None:
    """Algorithms are chosen by the alignment of addresses, so it is the same for all pictures."""
    memory = np.zeros(80, np.float32)
    first = -memory.ctypes.data % 64 // 4 + offset
    picture = memory[first : first + 48].reshape(1, 12, 2, 2)
    picture[:] = np.arange(48).reshape(picture.shape)
    network, found = load(), np.zeros((1, 8, 2, 2), np.float32)
    call = network._program._calls[0]
    right, seen = call.function, []
    call.function = lambda *arguments: (seen.append(arguments[0]), right(*arguments))[1]
    network.launch({"y_hat": picture}, {"p4_hat": found}, 4712)
    assert seen[0].data_ptr() % 32 == 0
    in_place = seen[0].data_ptr() == picture.ctypes.data
    assert in_place == (offset in (0, 8))
    assert np.array_equal(seen[0].numpy(), picture)


def test_networks_have_a_pool_each(cuda: StrictTorchCuda) -> None:
    one, other = load(), load()
    seen: list[Any] = []
    for network in one, other:
        during(network, lambda: seen.append(cuda.pools[-1]))
        launch(network)
        launch(network)
    assert seen[0] is seen[1] is not seen[2] is seen[3]


def test_pools_do_not_die_while_a_network_runs(cuda: StrictTorchCuda) -> None:
    """The collector finds a network in the middle of another one's launch."""
    network = load()
    gc.collect()
    gc.disable()
    try:
        lose_a_network()
        during(network, gc.collect)
        launch(network)
    finally:
        gc.enable()
    assert len(cuda.living) == 2
    assert cuda.mistakes == []
    network.outputs({"y_hat": (1, 12, 2, 2)})
    assert len(cuda.living) == 1


def test_the_stand_in_notices_pools_that_the_collector_destroys(
    cuda: StrictTorchCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "make_pool", lambda owner: torch.cuda.MemPool())
    network = load()
    lose_a_network()
    during(network, gc.collect)
    launch(network)
    assert cuda.mistakes == ["a pool died while memory came from another"]
    cuda.mistakes.clear()


def test_pools_wait_for_other_threads_before_they_die(cuda: StrictTorchCuda) -> None:
    """What is left of a network is dropped when nothing runs anywhere, and given to no other."""
    inside, go_on = threading.Event(), threading.Event()
    running = load()
    during(running, lambda: (inside.set(), go_on.wait(10)))
    lose_a_network()
    gc.collect()
    thread = threading.Thread(target=launch, args=[running])
    thread.start()
    assert inside.wait(10)
    second = load()
    assert len(cuda.living) == 3
    go_on.set()
    thread.join()
    third = load()
    assert set(cuda.living) == {network._pool for network in (running, second, third)}


def test_pools_do_not_die_while_launches_are_recorded(cuda: StrictTorchCuda) -> None:
    """Also between those of two networks: it may wait for the device."""
    lose_a_network()
    gc.collect()
    with recording():
        second = load()
        assert len(cuda.living) == 2
    third = load()
    assert set(cuda.living) == {second._pool, third._pool}


@pytest.mark.parametrize(
    ("failures", "recorded", "wanted"),
    [
        (1, False, ["run", "empty", "run"]),
        (2, False, ["run", "empty", "run"]),
        (1, True, ["run"]),
    ],
)
def test_idle_memory_is_given_back_before_the_gpu_counts_as_full(
    cuda: StrictTorchCuda, failures: int, recorded: bool, wanted: list[str]
) -> None:
    """Once, outside of the network's own pool, and not while launches are recorded."""
    network = load()
    cuda.capturing = recorded

    def run() -> None:
        cuda.events.append("run")
        if cuda.events.count("run") <= failures:
            raise torch.OutOfMemoryError("no more")

    during(network, run)
    if failures == 1 and not recorded:
        assert launch(network).any()
    else:
        with pytest.raises(DeviceError, match="no more"):
            launch(network)
    assert [event for event in cuda.events if event in ("run", "empty")] == wanted
