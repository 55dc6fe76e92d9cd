"""The real thing: an engine that ships, PyTorch's networks, CuPy's arrays, a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import DriftError
from tests.features import random_features
from tests.fuzz.mend import mend_packet
from tests.gpu import NEEDS_GPU

pytestmark = list(NEEDS_GPU)

HOST = RuntimeOptions(threads=1)
SIZES = [(52, 52), (51, 50), (49, 52)]  # of one canonical size


def on_gpu(**options: Any) -> RuntimeOptions:
    return RuntimeOptions(device="cuda", runner="torch", **{"coder": "cuda"} | options)


def features_of(engine: Engine, size: tuple[int, int], seed: int, batch: int | None = None) -> Any:
    import cupy

    arrays = random_features(engine, size, seed, batch, scale=1)
    return {name: cupy.asarray(array) for name, array in arrays.items()}


def assert_near(found: Any, wanted: Any) -> None:
    for name, array in wanted.items():
        ours = found[name].get() if hasattr(found[name], "get") else np.asarray(found[name])
        assert ours.shape == array.shape
        assert np.abs(ours - array).max() <= 1e-3 * max(1, np.abs(array).max()), name


@pytest.fixture(params=["lmsfc-v1-nanodet", "lmsfc-v2-nanodet"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine.builtin(request.param)


@pytest.mark.parametrize("graphs", [False, True])
def test_a_cpu_reads_what_a_gpu_wrote(engine: Engine, graphs: bool) -> None:
    """Integers are the same or it fails; launch by launch, recorded, and replayed twice."""
    options = on_gpu(cuda_graphs=graphs)
    encoder, decoder = Encoder(engine, options=options), Decoder(engine, options=options)
    host = Decoder(engine, options=HOST)
    for call in range(4):
        features = features_of(engine, SIZES[call % 3], call, 2)
        packets = encoder.encode(features, quality=1 + call % 2)
        wanted = host.decode(packets)
        for found, right in zip(decoder.decode(packets), wanted, strict=True):
            assert_near(found, right)


def test_a_gpu_reads_what_a_cpu_wrote(engine: Engine) -> None:
    encoder, decoder = Encoder(engine, options=HOST), Decoder(engine, options=on_gpu())
    host = Decoder(engine, options=HOST)
    for call in range(3):
        packets = [
            encoder.encode(random_features(engine, size, call + n, scale=1), quality=1 + n % 2)
            for n, size in enumerate(SIZES)
        ]
        for found, right in zip(decoder.decode(packets), host.decode(packets), strict=True):
            assert_near(found, right)


def test_pictures_do_not_see_their_neighbours(engine: Engine) -> None:
    encoder = Encoder(engine, options=on_gpu())
    features = features_of(engine, SIZES[0], 1, 4)
    alone = [
        bytes(encoder.encode({name: array[n] for name, array in features.items()}))
        for n in range(4)
    ]
    for _ in range(3):
        assert [bytes(packet) for packet in encoder.encode(features)] == alone


def test_the_coder_on_the_host_gives_the_same_bytes(engine: Engine) -> None:
    features = features_of(engine, SIZES[1], 1, 2)
    there = Encoder(engine, options=on_gpu())
    here = Encoder(engine, options=on_gpu(coder="cpu"))
    arrays = {name: array.get() for name, array in features.items()}
    wanted = [bytes(packet) for packet in here.encode(arrays)]
    for _ in range(3):
        assert [bytes(packet) for packet in there.encode(features)] == wanted


def test_the_callers_stream(engine: Engine) -> None:
    """Features that are made late in a stream are waited for there, and given back in its order."""
    import cupy

    encoder, decoder = (
        Encoder(engine, options=on_gpu()),
        Decoder(engine, options=on_gpu(), output="cupy"),
    )
    features = features_of(engine, SIZES[0], 3)
    wanted = bytes(encoder.encode(features))
    right = {name: array.get() for name, array in decoder.decode(wanted).items()}
    cupy.cuda.Device().synchronize()
    for _ in range(4):
        with cupy.cuda.Stream(non_blocking=True) as stream:
            late = {name: cupy.zeros_like(array) for name, array in features.items()}
            slow = cupy.ones((4096, 4096), cupy.float32)
            for _ in range(20):
                slow = slow @ slow * 0
            for name, array in features.items():
                late[name] += array + slow[0, 0]
            assert bytes(encoder.encode(late)) == wanted
            found = decoder.decode(wanted)
            sums = {name: array.copy() for name, array in found.items()}
        stream.synchronize()
        assert all(np.array_equal(sums[name].get(), array) for name, array in right.items())


def test_tensors_of_pytorch(engine: Engine) -> None:
    torch = pytest.importorskip("torch")
    features = features_of(engine, SIZES[0], 5)
    tensors = {name: torch.as_tensor(array, device="cuda") for name, array in features.items()}
    encoder = Encoder(engine, options=on_gpu())
    packet = encoder.encode(tensors)
    assert bytes(packet) == bytes(encoder.encode(features))
    found = Decoder(engine, options=on_gpu(), output="torch").decode(packet)
    assert all(tensor.is_cuda for tensor in found.values())
    wanted = Decoder(engine, options=HOST).decode(packet)
    assert_near({name: tensor.cpu() for name, tensor in found.items()}, wanted)
    out = {name: torch.zeros(a.shape, device="cuda") for name, a in wanted.items()}
    Decoder(engine, options=on_gpu()).decode(packet, out=out)
    assert_near({name: tensor.cpu() for name, tensor in out.items()}, wanted)


def test_damage_is_drift(engine: Engine) -> None:
    packets = [
        bytes(Encoder(engine, options=HOST).encode(random_features(engine, SIZES[0], n, scale=1)))
        for n in range(3)
    ]
    decoder = Decoder(engine, options=on_gpu())
    decoder.decode(packets)
    data = bytearray(packets[1])
    data[len(data) // 2] ^= 4
    damaged = mend_packet(bytes(data), engine.digest)
    for _ in range(3):
        with pytest.raises(DriftError) as caught:
            decoder.decode([packets[0], damaged, packets[2]])
        assert caught.value.packet_index == 1
    decoder.decode(packets)


def test_auto_measures_and_chooses(engine: Engine) -> None:
    features = features_of(engine, SIZES[0], 5)
    wanted = bytes(Encoder(engine, options=on_gpu()).encode(features))
    assert bytes(Encoder(engine, options=on_gpu(coder="auto")).encode(features)) == wanted
