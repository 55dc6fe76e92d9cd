"""An encoder and a decoder whose features stay on a GPU, as the benchmarks use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fcmrt
from fcmrt.kernels.cuda.cupy_device import CupyDevice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fcmrt.observe import Recorder


def options(runner: str, *, graphs: bool, precision: str = "float32") -> fcmrt.RuntimeOptions:
    """Give the options for networks, quantiser and coder on the GPU.

    Args:
        runner: Name of the library that runs the networks.
        graphs: Have the launches recorded in CUDA graphs.
        precision: Of float networks.
    """
    chosen: dict[str, Any] = {
        "device": "cuda",
        "coder": "cuda",
        "runner": runner,
        "cuda_graphs": graphs,
        "precision": precision,
    }
    return fcmrt.RuntimeOptions(**chosen)


class GpuCodec(NamedTuple):
    """Both sides of one engine."""

    encoder: Any
    decoder: Any

    @classmethod
    def open(
        cls,
        engine: fcmrt.Engine,
        chosen: fcmrt.RuntimeOptions,
        recorder: Recorder | None = None,
        quality: float | None = None,
    ) -> GpuCodec:
        """Make encoder and decoder.

        Raises:
            BackendUnavailableError: CuPy or the runner's library is not installed.
            DeviceError: There is no GPU.
        """
        CupyDevice()
        output: Any = "cupy"
        encoder = fcmrt.Encoder(engine, quality=quality, options=chosen, recorder=recorder)
        header = encoder.header  # tells a same-engine codec's decoder what ran the networks
        decoder = fcmrt.Decoder(
            engine, header=header, options=chosen, output=output, recorder=recorder
        )
        return cls(encoder, decoder)


def to_gpu(features: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Copy features to the GPU, as CuPy's arrays."""
    import cupy

    return {name: cupy.asarray(values) for name, values in features.items()}


def wait() -> None:
    """Wait for all work on the GPU."""
    import cupy

    cupy.cuda.Device().synchronize()


def to_host(array: Any) -> NDArray[Any]:
    """Give an array of NumPy, CuPy or PyTorch as NumPy's."""
    if hasattr(array, "get"):
        return np.asarray(array.get())
    return np.asarray(array.cpu()) if hasattr(array, "cpu") else np.asarray(array)
