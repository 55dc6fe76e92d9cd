"""Networks on PyTorch, on the CPU or on a CUDA device, by an interpreter of ONNX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config import RuntimeOptions
from ...errors import BackendUnavailableError, DeviceError
from ...onnxgraph import read_graph
from ...processor import describe_processor

if TYPE_CHECKING:
    from .network import TorchNetwork


def import_torch() -> Any:
    """Imports PyTorch.

    Raises:
        BackendUnavailableError: Not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailableError(
            "running networks with PyTorch needs it installed: pip install 'fcmrt[torch]'"
        ) from error
    return torch


class TorchRunner:
    """Runs graphs with PyTorch's operators.

    Graphs of the exact path run in float32 (float64, if that is the precision asked for), without
    TF32 and, on a CUDA device, without cuDNN, whose Winograd and FFT convolutions are not exact.

    PyTorch has one number of threads for the whole process. If `threads` is given, a run sets it
    (`torch.set_num_threads`) where it differs, and leaves it set.

    Args:
        options: `threads`, `device`, `optimise` and `precision` have an effect here.

    Raises:
        BackendUnavailableError: PyTorch is not installed.
        DeviceError: PyTorch finds no CUDA device.
    """

    name = "torch"

    def __init__(self, options: RuntimeOptions) -> None:
        self._torch = import_torch()
        self._options = options
        if options.device == "cuda" and not self._torch.cuda.is_available():
            built = self._torch.version.cuda
            raise DeviceError(
                f"device 'cuda': PyTorch {self._torch.__version__} "
                + ("finds no CUDA device" if built else "is built without CUDA")
                + "; see `fcmrt doctor`, or ask for device 'cpu'"
            )

    @property
    def identity(self) -> str:
        """See `fcmrt.runner.Runner.identity`."""
        torch, options = self._torch, self._options
        if options.device == "cuda":
            where = (
                f"cuda {torch.version.cuda} cudnn {torch.backends.cudnn.version()} "
                f"{torch.cuda.get_device_name()}"
            )
        else:
            threads = options.threads or torch.get_num_threads()
            where = f"cpu {describe_processor()}, threads {threads}"
        optimised = "optimised" if options.optimise else "not optimised"
        return f"torch {torch.__version__}, {where}, {optimised}, {options.precision}"

    def load(self, name: str, graph: bytes, *, exact: bool) -> TorchNetwork:
        """See `fcmrt.runner.Runner.load`."""
        from .network import TorchNetwork
        from .on_device import DeviceTorchNetwork
        from .program import Placement
        from .settings import Settings

        torch, options = self._torch, self._options
        wide = options.precision == "float64"
        precision = ("float64" if wide else "float32") if exact else options.precision
        cuda = options.device == "cuda"
        # oneDNN and tensor cores are fastest with the channels innermost; plain convolutions not.
        innermost = options.optimise and (
            precision in ("float16", "bfloat16") or (precision == "float32" and not cuda)
        )
        placement = Placement(
            torch.device(options.device),
            getattr(torch, precision),
            innermost and not (cuda and exact),
        )
        settings = Settings(onednn=options.optimise, cudnn=not exact)
        kind = DeviceTorchNetwork if cuda else TorchNetwork
        return kind(
            name, read_graph(graph, f"graph {name!r}"), placement, settings, options.threads
        )
