"""An encoder in a process of its own, so that builds of fcmrt can be timed in turns.

Run as a script, by the interpreter of any environment with an fcmrt: it knows of nothing else here.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    Features = Mapping[str, NDArray[np.float32]]


class Encoded(NamedTuple):
    """All pictures, once."""

    ms: float
    """Processor time of the thread."""
    packets: str
    """SHA-256 of all packets."""


class Worker:
    """Encodes pictures in another process.

    Args:
        python: Interpreter of the environment.
        engine: The engine file.
        pictures: Features of each.
        quality: Quality level.
    """

    def __init__(
        self, python: str, engine: Path, pictures: Sequence[Features], quality: int
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "features.npz"
        named = {f"{k} {name}": one[name] for k, one in enumerate(pictures) for name in one}
        np.savez(file, allow_pickle=False, **named)
        command = [python, "-P", __file__, str(engine), str(file), str(quality)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def encode(self) -> Encoded:
        """Encode all pictures, after an untimed run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        ms, packets = self._process.stdout.readline().split()
        return Encoded(float(ms), packets)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # its input ends, and so does it
        self._folder.cleanup()


def serve(engine: str, file: str, quality: int) -> None:
    """Encode all pictures whenever a line comes in."""
    import fcmrt

    options = fcmrt.RuntimeOptions(threads=1)
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine), quality=quality, options=options)
    pictures: dict[str, dict[str, NDArray[np.float32]]] = {}
    with np.load(file) as arrays:
        for key, values in arrays.items():
            number, name = key.split(" ")
            pictures.setdefault(number, {})[name] = values
    for _ in sys.stdin:
        for one in pictures.values():
            encoder.encode(one)
        start = time.thread_time_ns()
        packets = [encoder.encode(one) for one in pictures.values()]
        ms = 1e-6 * (time.thread_time_ns() - start)
        print(ms, hashlib.sha256(b"".join(map(bytes, packets))).hexdigest(), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
