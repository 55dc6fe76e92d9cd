"""torch_ans on a GPU, on the packets that our coder is measured on.

Written against the public interface of torch_ans 0.4.0; nobody has executed it on a GPU yet. Its
sources are not part of this project: a folder that holds the package is named by the caller.

python -m benchmarks.gpu_torch_ans FOLDER

compiles what is measured, which torch_ans does at its first use and keeps on disk.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcmrt.tables import PROB_BITS

from . import report
from .attempts import error_text
from .coder_peers import INVERSE_BITS, PeerMissingError, give_tables
from .coder_sources import gaussian_source, gaussian_tables
from .gpu_timing import CudaStopwatch, Samples, time_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .attempts import Attempts
    from .coder_sources import Source
    from .gpu_timing import Effort
    from .report import Row

# What its documentation calls the fastest on a GPU: a warp for each stream, with a table for the
# inverse, and without.
CODER, INTERLEAVES = "rans32_16", 32
LOOKUPS = (INVERSE_BITS, None)
_ARCHITECTURES = "TORCH_CUDA_ARCH_LIST"  # what PyTorch compiles extensions for


class Setting(NamedTuple):
    """One way to have torch_ans code."""

    inverse_bits: int | None
    escapes: bool
    """Without: symbols beyond their table are replaced, since its escapes are slow."""

    @property
    def name(self) -> str:
        """What it is called in a row."""
        lookup = "" if self.inverse_bits is None else f", inverse {self.inverse_bits}"
        return f"{CODER} x{INTERLEAVES}{lookup}{'' if self.escapes else ', no escapes'}"


SETTINGS = tuple(Setting(bits, escapes) for bits in LOOKUPS for escapes in (True, False))


def import_torch_ans(folder: str | None) -> Any:
    """Import torch_ans from a folder, for the GPU at hand.

    Raises:
        PeerMissingError: There is no such package, or nothing to run it on.
    """
    if folder is None:
        raise PeerMissingError("no folder with torch_ans was named (--torch-ans)")
    if not (Path(folder) / "torch_ans").is_dir():
        raise PeerMissingError(f"{folder} holds no package torch_ans")
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise PeerMissingError(f"torch_ans needs PyTorch: {error}") from error
    if not torch.cuda.is_available():
        raise PeerMissingError("PyTorch finds no CUDA device")
    major, minor = torch.cuda.get_device_capability()
    os.environ.setdefault(_ARCHITECTURES, f"{major}.{minor}")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("torch_ans.utils").TorchANSInterface
    except Exception as error:  # it compiles itself, which may fail in any way
        raise PeerMissingError(f"torch_ans cannot be imported: {error_text(error)}") from error


class TorchAns:
    """One setting of torch_ans with a batch of packets on the device.

    Args:
        interface: Its `TorchANSInterface`.
        setting: How it codes.
        parts: Each packet's symbols, of one step and equally many.
        packets: Number of packets; parts come up again where there are more.
        device: A name of PyTorch's.
    """

    def __init__(
        self,
        interface: Any,
        setting: Setting,
        parts: Sequence[Source],
        packets: int,
        device: str = "cuda",
    ) -> None:
        torch = importlib.import_module("torch")
        self._torch = torch
        tables = parts[0].steps[0].tables
        self._coder = interface(
            impl=CODER,
            freq_precision=PROB_BITS,
            bypass_coding=setting.escapes,
            num_parallel_states=packets,
            num_interleaves=INTERLEAVES,
            inverse_cdf_precision=setting.inverse_bits,
            device=device,
        )
        give_tables(torch, self._coder, tables, setting.inverse_bits)
        turns = np.arange(packets) % len(parts)
        symbols = np.stack([part.steps[0].symbols for part in parts])
        indexes = np.stack([part.steps[0].indexes for part in parts]).astype(np.int32)
        if not setting.escapes:
            low = tables.offsets[indexes]
            symbols = np.clip(symbols, low, low + tables.sizes[indexes] - 1).astype(np.int32)
        self._symbols = torch.from_numpy(symbols[turns]).to(device)
        self._indexes = torch.from_numpy(indexes[turns]).to(device)
        self.stream = self.encode()
        self._fresh = None

    def encode(self) -> Any:
        """From symbols to its stream tensor, on the device."""
        return self._coder.encode(self._symbols, dist_indexes=self._indexes)

    def prepare(self) -> None:
        """Copies the stream, since decoding changes it."""
        self._fresh = self.stream.clone()

    def decode(self) -> Any:
        """From the stream that `prepare` copied to symbols, on the device."""
        return self._coder.decode(self._fresh, dist_indexes=self._indexes)

    def require_decoded(self) -> None:
        """Decodes once, and compares.

        Raises:
            PeerMissingError: Other symbols came back.
        """
        self.prepare()
        if not self._torch.equal(self.decode(), self._symbols):
            raise PeerMissingError("torch_ans did not decode what it encoded")

    @property
    def bytes(self) -> int:
        """Bytes of all streams; each begins with its length."""
        return int(self.stream[:, 0].sum().item())

    @property
    def symbols(self) -> int:
        """Number of symbols."""
        return int(self._symbols.numel())


def peer_rows(
    interface: Any,
    parts: Sequence[Source],
    packets: int,
    stopwatch: CudaStopwatch,
    effort: Effort,
    attempts: Attempts,
) -> list[Row]:
    """Time every setting on one batch; one that fails is a row that says why."""
    torch = importlib.import_module("torch")
    stream = torch.cuda.ExternalStream(stopwatch.stream.ptr)

    def row(setting: Setting, head: Row) -> list[Row]:
        with torch.cuda.stream(stream):
            peer = TorchAns(interface, setting, parts, packets)
            peer.require_decoded()
            encode = time_call(stopwatch, peer.encode, effort)
            decode = time_call(stopwatch, peer.decode, effort, peer.prepare)
            return [{**head, **figures(peer, encode, decode)}]

    rows = []
    for setting in SETTINGS:
        head: Row = {
            "source": parts[0].name,
            "coder": "torch_ans",
            "implementation": setting.name,
            "escapes": setting.escapes,
            "packets": packets,
        }
        rows += attempts.rows(head, functools.partial(row, setting, head))
    return rows


def figures(peer: TorchAns, encode: Samples, decode: Samples) -> Row:
    """Give the figures of one setting under the names that ours have."""
    row: Row = {"symbols": peer.symbols, "bytes": peer.bytes}
    for direction, samples in (("encode", encode), ("decode", decode)):
        speed = report.median_and_spread(peer.symbols / samples.device * 1e-9)
        row |= {
            f"{direction}_us": 1e6 * float(np.median(samples.device)),
            f"{direction}_gsym_s": speed["median"],
            f"{direction}_spread": speed["spread"],
            f"{direction}_gb_s": peer.bytes / float(np.median(samples.device)) * 1e-9,
            f"{direction}_sm_mhz": samples.sm_mhz,
        }
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Compile torch_ans, and say whether it decodes what it encodes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_torch_ans", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", metavar="FOLDER")
    folder = parser.parse_args(argv).folder
    try:
        interface = import_torch_ans(folder)
    except PeerMissingError as error:
        report.progress(f"torch_ans was left out: {error}")
        return 1
    part = gaussian_source("mid", 4096, gaussian_tables())
    for setting in SETTINGS:
        TorchAns(interface, setting, [part], 2).require_decoded()
        report.progress(f"{setting.name}: decodes what it encoded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
