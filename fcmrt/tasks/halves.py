"""The two halves of a cut network, as sessions of onnxruntime on the CPU."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any


def load_halves(
    network: str, models_dir: str | Path | None = None, threads: int | None = None
) -> tuple[Any, Any]:
    """Loads `NETWORK.front.onnx` and `NETWORK.back.onnx`.

    Args:
        network: Name of the network.
        models_dir: Folder of the two files; None takes those shipped with the package.
        threads: Threads of each half; None leaves the choice to onnxruntime.

    Raises:
        FileNotFoundError: A half is missing.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Waiting threads sleep: spinning would take cores from whatever else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1

    def load(half: str) -> Any:
        folder = resources.files("fcmrt") / "assets" if models_dir is None else Path(models_dir)
        graph = (folder / f"{network}.{half}.onnx").read_bytes()
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    return load("front"), load("back")
