"""Streams, staging, capture and other libraries' arrays, as CuPy is asked for them."""

from __future__ import annotations

import contextlib
import gc
import threading
import types
from typing import Any

import numpy as np
import pytest

from fcmrt.errors import DeviceError, DTypeError
from fcmrt.kernels.cuda import cupy_device, planes
from fcmrt.kernels.cuda.cupy_device import CupyDevice

from .fake_cupy import FakeCupy, FakeMemoryError, FakeStream, install


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    return install(monkeypatch, 1)


@pytest.fixture
def device(fake: FakeCupy) -> CupyDevice:
    return CupyDevice()


def doubled(device: CupyDevice, array: Any) -> Any:
    """A launch: the map in a larger one."""
    rows, columns = array.shape[-2:]
    target = device.empty((*array.shape[:-2], rows + 1, columns), array.dtype)
    planes.place_planes(device, array, target)
    return target


def maps(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 2, 3, 4)).astype(np.float32)


def test_what_is_written_is_taken_at_once(fake: FakeCupy, device: CupyDevice) -> None:
    """The host's memory may change, and pinned memory is not lent before its copy is made."""
    values = maps()
    wanted = values.copy()
    target = device.empty(values.shape, values.dtype)
    others = [device.empty((64,), np.uint8) for _ in range(9)]
    device.write(target, values)
    values[:] = 0
    for other in others:
        device.write(other, np.full(64, 7, np.uint8))
    assert len(fake.stream.queue) == 10
    assert device.download(doubled(device, target))[:, :, :3].tolist() == wanted.tolist()
    device.write(target, values)
    assert len(device._staging._busy) <= 2  # the others are lent again


def test_pinned_memory_is_lent_again_by_one_thread_at_a_time(device: CupyDevice) -> None:
    """Another that asks in between must not end what has only now come first."""
    staging = device._staging
    other = threading.Thread(target=staging._lend, args=[1])

    class Copied:
        @property
        def done(self) -> bool:
            if not other.ident:
                other.start()
                other.join(0.2)  # as far as it comes
            return True

    under_way = types.SimpleNamespace(done=False)
    staging._busy.extend([(Copied(), "first"), (under_way, "second")])
    staging._lend(1)
    other.join()
    assert [memory for _, memory in staging._busy] == ["second"]


def test_empty_arrays_cross_as_well(device: CupyDevice) -> None:
    array = device.upload(np.zeros((0, 3), np.int32))
    device.write(array, np.zeros((0, 3), np.int32))
    assert device.download(array).shape == (0, 3)
    first, second = device.fetch(array, device.upload(np.arange(5)))()
    assert (first.shape, second.tolist()) == ((0, 3), [0, 1, 2, 3, 4])


def test_a_recording_reads_what_is_there_when_it_is_replayed(
    fake: FakeCupy, device: CupyDevice
) -> None:
    source, target = device.upload(maps()), device.zeros((1, 2, 4, 4), np.float32)
    count = device.upload(np.array([5], np.uint32))

    def launches() -> None:
        device.write(count, 0)
        planes.place_planes(device, source, target)

    launches()
    device.write(target, 0)
    recording = device.capture(launches)
    assert not device.download(target).any()  # recorded, not made
    assert fake.stream.ptr == 0
    device.write(source, maps(1))
    recording.replay()
    assert device.download(target)[:, :, :3].tolist() == maps(1).tolist()
    assert device.download(count).tolist() == [0]


def test_a_recording_that_fails_ends_the_capture(fake: FakeCupy, device: CupyDevice) -> None:
    def launches() -> None:
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        device.capture(launches)
    assert fake.stream.ptr == 0
    device.download(doubled(device, device.upload(maps())))


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_chosen_by_use_stays_the_current_one(
    fake: FakeCupy, device: CupyDevice, fails: bool
) -> None:
    """A `with` block would forget it, and replay the recording in the null stream."""
    chosen = FakeStream(fake, 42).use()
    source, target = device.upload(maps()), device.zeros((1, 2, 4, 4), np.float32)

    def launches() -> None:
        planes.place_planes(device, source, target)
        if fails:
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        device.capture(launches).replay()
    assert fake.stream is chosen
    assert bool(device.download(target).any()) != fails


def test_no_collection_comes_by_while_launches_are_recorded(device: CupyDevice) -> None:
    """What it finds may wait for the device when it dies."""
    count = device.upload(np.array([5], np.uint32))

    class Session:
        def __del__(self) -> None:
            died.append(recorded)

    def launches() -> None:
        nonlocal recorded
        recorded = True
        lost = Session()
        lost.itself = lost  # type: ignore[attr-defined]
        del lost
        device.write(count, 7)
        for _ in range(10):
            _kept = [[] for _ in range(1000)]  # which is when Python collects
        recorded = False

    died: list[bool] = []
    recorded = False
    assert gc.isenabled()
    device.capture(launches)
    assert gc.isenabled()
    gc.collect()
    assert died == [False]


def test_the_stand_in_asks_for_no_collections(
    device: CupyDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy_device, "recording", contextlib.nullcontext)
    with pytest.raises(AssertionError, match="collection may wait"):
        device.capture(lambda: None)


def test_a_recording_s_stream_serves_the_next_one(fake: FakeCupy, device: CupyDevice) -> None:
    """When it is gone, and not before: until then memory given to the stream is the recording's."""
    count = device.upload(np.array([5], np.uint32))

    def launches() -> None:
        device.write(count, 7)
        captured.append(device.stream)

    captured: list[int] = []
    first, second = device.capture(launches), device.capture(launches)
    assert captured[0] != captured[1]
    first.replay()
    assert device.download(count).tolist() == [7]
    del first
    third = device.capture(launches)
    assert captured[2] == captured[0]
    del second, third
    for _ in range(3):
        device.capture(launches)
    assert set(captured) == set(captured[:2])
    assert fake.stream.ptr == 0


def test_the_stand_in_asks_for_the_stream_of_a_recording(
    device: CupyDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that keeps it from nobody but the collector."""
    monkeypatch.setattr(cupy_device.weakref, "finalize", lambda *_: None)
    count = device.upload(np.array([5], np.uint32))
    with pytest.raises(AssertionError, match="stream of the capture is gone"):
        device.capture(lambda: device.write(count, 7)).replay()


def test_kernels_are_looked_up_once(fake: FakeCupy, device: CupyDevice) -> None:
    array = device.upload(maps())
    for _ in range(3):
        doubled(device, array)
    assert fake.found == ["place_planes"]
    assert len(fake.modules) == 1


def test_a_full_gpu_is_an_error_of_ours(
    fake: FakeCupy, device: CupyDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(shape: Any, dtype: Any) -> Any:
        raise FakeMemoryError("out of memory")

    for name in "empty", "zeros":
        monkeypatch.setattr(fake, name, full)
        with pytest.raises(DeviceError, match=r"float32 \[3, 5\]"):
            getattr(device, name)((3, 5), np.float32)


@pytest.mark.parametrize("waits", [True, False])
def test_the_current_stream(
    fake: FakeCupy, device: CupyDevice, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """What one stream writes another reads, if it waits, and not if it does not."""
    if not waits:
        monkeypatch.setattr(FakeStream, "wait_event", lambda stream, event: None)
    assert device.stream == 0
    with FakeStream(fake, 42):
        assert device.stream == 42
        array = device.upload(maps())
        mark = device.mark()
    with FakeStream(fake, 43):
        device.after(mark)
        found = device.download(doubled(device, array))[:, :, :3]
        assert (found.tolist() == maps().tolist()) == waits
        device.wait(mark)
        assert mark.done
    assert device.download(array).tolist() == maps().tolist()


@pytest.mark.parametrize("waits", [True, False])
def test_a_replay_is_in_the_order_of_its_stream(
    fake: FakeCupy, device: CupyDevice, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """Buffers of a recording that is replayed in one stream and then in another, as in turns."""
    source, target = device.upload(maps()), device.zeros((1, 2, 4, 4), np.float32)
    planes.place_planes(device, source, target)
    recording = device.capture(lambda: planes.place_planes(device, source, target))
    device.wait(device.mark())
    with FakeStream(fake, 42):
        device.write(source, maps(1))
        recording.replay()
        mark = device.mark()
    with FakeStream(fake, 43):
        if waits:
            device.after(mark)
        recording.replay()
        found = device.download(target)[:, :, :3]
    assert (found.tolist() == maps(1).tolist()) == waits


class Resident:
    """An array of another library; `flags` says which protocols it speaks."""

    def __init__(self, device: CupyDevice, array: np.ndarray, **interface: Any) -> None:
        self.memory = device.upload(array)
        device.download(self.memory)
        strides = interface.get("strides")
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self.memory.ctypes.data, False),
            "strides": strides,
            "version": 3,
        } | interface


class Exchanged:
    """One that speaks DLPack, and notes the stream that it is asked for."""

    def __init__(self, array: Any, device: int = 2) -> None:
        self.array = array
        self.streams: list[int] = []
        self._device = device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0

    def __dlpack__(self, *, stream: int) -> None:
        self.streams.append(stream)


def test_own_arrays_are_taken_as_they_are(device: CupyDevice) -> None:
    own = device.upload(maps())
    assert device.borrow(own, "p3") is own


def test_dlpack_is_told_our_stream(fake: FakeCupy, device: CupyDevice) -> None:
    given = Exchanged(device.upload(maps()))
    with FakeStream(fake, 42):
        view = device.borrow(given, "p3")
    assert given.streams == [42]
    assert device.download(view).tolist() == maps().tolist()
    for number, kind in ((10, "ROCm"), (8, "Metal")):
        with pytest.raises(DeviceError, match=f"p3 is not in a CUDA.*{number}"):
            device.borrow(Exchanged(None, number), kind and "p3")


@pytest.mark.parametrize("waits", [True, False])
def test_what_another_library_has_launched_comes_first(
    fake: FakeCupy, device: CupyDevice, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    if not waits:
        monkeypatch.setattr(FakeStream, "wait_event", lambda stream, event: None)
    given = Resident(device, np.zeros_like(maps()), stream=99)
    with FakeStream(fake, 99):
        device.write(given.memory, maps())
    with FakeStream(fake, 42):
        found = device.download(doubled(device, device.borrow(given, "p3")))[:, :, :3]
    assert (found.tolist() == maps().tolist()) == waits


@pytest.mark.parametrize("stream", [None, 1, 2, 42, 99])
def test_the_interfaces_stream_is_waited_for_on_the_device(
    fake: FakeCupy, device: CupyDevice, stream: int | None
) -> None:
    given = Resident(device, maps(), stream=stream)
    with FakeStream(fake, 42) as ours:
        view = device.borrow(given, "p3")
    assert [found.ptr for found in ours.waits] == ([] if stream in (None, 42) else [stream])
    assert view.ctypes.data == given.memory.ctypes.data
    assert view.owner is given
    assert device.download(view).tolist() == maps().tolist()


def test_gaps_are_copied_away_or_refused(device: CupyDevice) -> None:
    whole = maps()
    strides = whole.strides
    given = Resident(device, whole, shape=(1, 2, 3, 2), strides=strides)
    view = device.borrow(given, "p3")
    assert view.flags.c_contiguous
    assert device.download(view).tolist() == whole[..., :2].tolist()
    with pytest.raises(DTypeError, match="p3 is to be written to"):
        device.borrow(given, "p3", to_write=True)
    dense = Resident(device, whole, strides=strides)
    assert device.borrow(dense, "p3", to_write=True).ctypes.data == dense.memory.ctypes.data


@pytest.mark.parametrize(
    ("interface", "message"),
    [
        ({"stream": 0}, "stream 0"),
        ({"mask": object()}, "a mask"),
        ({"typestr": "nothing"}, "__cuda_array_interface__"),
        ({"data": None}, "__cuda_array_interface__"),
    ],
)
def test_interfaces_that_are_not_as_the_protocol_says(
    device: CupyDevice, interface: dict[str, Any], message: str
) -> None:
    with pytest.raises(DTypeError, match=message):
        device.borrow(Resident(device, maps(), **interface), "p3")


def test_empty_arrays_of_other_libraries_have_no_address(device: CupyDevice) -> None:
    view = device.borrow(Resident(device, np.zeros((0, 3), np.float32), data=(0, False)), "p3")
    assert (view.shape, view.dtype) == ((0, 3), np.float32)


def test_memory_that_cuda_does_not_know(fake: FakeCupy, device: CupyDevice) -> None:
    """The host's, that of another context, and what another context has launched."""
    host = maps()
    for given in (
        Resident(device, host, data=(host.ctypes.data, False)),
        Resident(device, host, data=(0, False)),
        Resident(device, host, data=(0xF00, False)),
        Resident(device, host, stream=0xF10),
    ):
        fake.foreign = {0xF00, 0xF10}
        with pytest.raises(DeviceError, match=r"p3 is in memory.*cupy.asarray.*autoprimaryctx"):
            device.borrow(given, "p3")


def test_the_stand_in_refuses_what_cupy_does(fake: FakeCupy, device: CupyDevice) -> None:
    """Null pointers without a device, memory of none, and what CuPy 14 warns about."""
    with pytest.raises(RuntimeError, match="explicit device ID"):
        fake.cuda.UnownedMemory(0, 0, None)
    with pytest.raises(AssertionError, match="no device"):
        fake.cuda.UnownedMemory(maps().ctypes.data, 4, None)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        fake.cuda.ExternalStream(42)


def test_what_is_no_array_on_a_device(device: CupyDevice) -> None:
    with pytest.raises(DeviceError, match="p3 is a list"):
        device.borrow([1.0], "p3")
