"""Other entropy coders on the same symbols and the same distributions, each as well as it can.

What only a caller's conversion would cost is done outside of the clock: Python lists for
CompressAI, int32 tensors for torch_ans, arrays of deviations for constriction. Tables are ours, in
units of 2^-14, except where a coder makes its own from a Gaussian's deviation.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

import numpy as np

from fcmrt.tables import PROB_BITS

from .coder_timing import Timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fcmrt.tables import CdfTables

    from .coder_sources import CodedSymbols

# How many states torch_ans interleaves, by the name of its coder. One stream each: more are for
# more threads.
INTERLEAVES = {
    "rans64": (1, 2, 4, 8),
    "rans32": (1, 4, 8),
    "rans32_16": (1, 4, 8, 32),
    "tans32": (4, 8),
    "tans16": (4, 8),
}
INVERSE_BITS = 7  # of torch_ans's inverse tables; the fastest of 6, 7, 8 and 9


@dataclass(frozen=True, slots=True)
class Peer:
    """A coder under one of its settings; it has decoded what it encoded."""

    coder: str
    setting: str
    encode: Timed
    decode: Timed
    bytes: int


class PeerMissingError(Exception):
    """A peer is not installed, or not as it is needed."""


def peers_of(coded: CodedSymbols) -> tuple[list[Peer], list[str]]:
    """Set up every peer that is installed.

    Args:
        coded: What to code.

    Returns:
        The peers, and a sentence for each that is missing.
    """
    found: list[Peer] = []
    missing = []
    for coder, make in PEERS.items():
        try:
            found += make(coded)
        except PeerMissingError as error:
            missing.append(f"{coder} was left out: {error}")
    return found, missing


def versions() -> dict[str, str | None]:
    """Give the installed version of each peer, None where it is not installed."""
    found: dict[str, str | None] = {}
    for coder in PEERS:
        try:
            found[coder] = importlib.metadata.version(coder)
        except importlib.metadata.PackageNotFoundError:
            found[coder] = None
    return found


def _require(equal: bool, coder: str, setting: str) -> None:
    if not equal:
        raise AssertionError(f"{coder} ({setting}) did not decode what was encoded")


def compressai_extension() -> Any:
    """Load CompressAI's coder without the package around it.

    `compressai.ans` is compiled and needs nothing, but importing `compressai` needs PyTorch,
    torchvision and more, and a NumPy below 2. So the module is loaded from its file.

    Raises:
        PeerMissingError: CompressAI is not installed, or its coder is for another Python or system.
    """
    package = importlib.util.find_spec("compressai")
    places = None if package is None else package.submodule_search_locations
    spec = None if places is None else PathFinder.find_spec("compressai.ans", list(places))
    if spec is None or spec.loader is None:
        raise PeerMissingError("compressai is not installed")
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        raise PeerMissingError(f"compressai.ans cannot be loaded: {error}") from error
    return module


def compressai(coded: CodedSymbols) -> Iterator[Peer]:
    """Set up CompressAI's coder."""
    ans = compressai_extension()
    # Its frequencies are in units of 2^-16; its last event is its escape, as ours.
    tables = coded.tables
    scale = (1 << 16) >> PROB_BITS
    cdfs = [(scale * tables.cum(t)).tolist() for t in range(tables.count)]
    model = (coded.indexes.tolist(), cdfs, [len(cdf) for cdf in cdfs], tables.offsets.tolist())
    symbols = coded.symbols.tolist()
    encoder, decoder = ans.RansEncoder(), ans.RansDecoder()
    data = encoder.encode_with_indexes(symbols, *model)
    _require(decoder.decode_with_indexes(data, *model) == symbols, "compressai", "lists")
    yield Peer(
        "compressai",
        "encode_with_indexes",
        Timed(lambda _: encoder.encode_with_indexes(symbols, *model)),
        Timed(lambda _: decoder.decode_with_indexes(data, *model)),
        len(data),
    )


def constriction(coded: CodedSymbols) -> Iterator[Peer]:
    """Set up constriction's ANS coder: one model a symbol, and one a table after sorting."""
    if importlib.util.find_spec("constriction") is None:
        raise PeerMissingError("constriction is not installed")
    stream = importlib.import_module("constriction").stream
    ans, models = stream.stack.AnsCoder, stream.model
    if coded.sigmas is not None:
        yield _gaussian_family(ans, models, coded, coded.sigmas)
    yield _sorted_by_table(ans, models, coded)


def _gaussian_family(
    ans: Any, models: Any, coded: CodedSymbols, sigmas: NDArray[np.float64]
) -> Peer:
    """The way its documentation advises for models that differ by symbol."""
    reach = int(np.abs(coded.symbols).max()) + 1
    family = models.QuantizedGaussian(-reach, reach)
    deviations = sigmas[coded.indexes].astype(np.float32)
    means = np.zeros_like(deviations)

    def encode(_: object = None) -> NDArray[np.uint32]:
        coder = ans()
        coder.encode_reverse(coded.symbols, family, means, deviations)
        return np.asarray(coder.get_compressed())

    data = encode()

    def decode(_: object = None) -> NDArray[np.int32]:
        return np.asarray(ans(data).decode(family, means, deviations))

    setting = "QuantizedGaussian, a deviation a symbol"
    _require(np.array_equal(decode(), coded.symbols), "constriction", setting)
    return Peer("constriction", setting, Timed(encode), Timed(decode), data.nbytes)


def _sorted_by_table(ans: Any, models: Any, coded: CodedSymbols) -> Peer:
    """One call a table; sorting, its inverse and the values of escapes are left to the caller."""
    tables = coded.tables
    event = coded.symbols - tables.offsets[coded.indexes]
    size = tables.sizes[coded.indexes]
    event = np.where((event < 0) | (event >= size), size, event).astype(np.int32)
    groups = []
    for t in range(tables.count):
        part = np.ascontiguousarray(event[coded.indexes == t])
        # A model of a single event is refused, and would cost nothing.
        if len(part) and tables.sizes[t] > 0:
            groups.append((models.Categorical(tables.table(t) / 16384.0, perfect=False), part))

    def encode(_: object = None) -> NDArray[np.uint32]:
        coder = ans()
        for model, part in reversed(groups):
            coder.encode_reverse(part, model)
        return np.asarray(coder.get_compressed())

    data = encode()

    def decode(_: object = None) -> list[NDArray[np.int32]]:
        coder = ans(data)
        return [coder.decode(model, len(part)) for model, part in groups]

    setting = "Categorical, symbols sorted by table"
    equal = all(
        np.array_equal(found, part) for found, (_, part) in zip(decode(), groups, strict=True)
    )
    _require(equal, "constriction", setting)
    return Peer("constriction", setting, Timed(encode), Timed(decode), data.nbytes)


def torch_ans(coded: CodedSymbols) -> Iterator[Peer]:
    """Set up torch_ans under each of its settings, on one thread of the CPU."""
    if importlib.util.find_spec("torch_ans") is None:
        raise PeerMissingError("torch_ans is not installed")
    torch = importlib.import_module("torch")
    interface = importlib.import_module("torch_ans.utils").TorchANSInterface
    torch.set_num_threads(1)
    symbols = torch.tensor(coded.symbols)[None]
    indexes = torch.tensor(coded.indexes)[None]
    for name, interleaves in INTERLEAVES.items():
        for count in interleaves:
            for bits in (None,) if name.startswith("tans") else (None, INVERSE_BITS):
                coder = interface(
                    impl=name,
                    freq_precision=PROB_BITS,
                    num_parallel_states=1,
                    num_interleaves=count,
                    inverse_cdf_precision=bits,
                )
                give_tables(torch, coder, coded.tables, bits)
                lookup = "" if bits is None else f", inverse {bits}"
                yield from _torch_ans(torch, coder, f"{name} x{count}{lookup}", symbols, indexes)


def give_tables(torch: Any, coder: Any, tables: CdfTables, inverse_bits: int | None) -> None:
    """Hand over our tables as they are, in the form that the coder's setting wants."""
    cum = [tables.cum(t) for t in range(tables.count)]
    sizes = torch.tensor([len(row) for row in cum], dtype=torch.int32)
    if inverse_bits is not None:
        # It looks for the inverse table right behind a row's last entry; its own builder puts it
        # behind the longest row's, which is right only if all rows are equally long.
        starts = np.arange(1 << inverse_bits) << (PROB_BITS - inverse_bits)
        cum = [np.append(row, np.searchsorted(row, starts, "right") - 1) for row in cum]
    rows = np.full((len(cum), max(map(len, cum))), 1 << PROB_BITS, np.int32)
    for row, values in zip(rows, cum, strict=True):
        row[: len(values)] = values
    cdfs = torch.from_numpy(rows)
    if coder.impl.startswith("tans"):
        cdfs = coder._native.tans_build_tables(cdfs, sizes, PROB_BITS)
    coder.set_cdfs(cdfs, sizes, torch.tensor(tables.offsets))


def _torch_ans(torch: Any, coder: Any, setting: str, symbols: Any, indexes: Any) -> Iterator[Peer]:
    """Both of its ways: to and from bytes, as CompressAI's, and to and from its own tensor."""
    data = coder.encode_with_indexes(symbols, indexes)
    _require(torch.equal(coder.decode_with_indexes(data, indexes), symbols), "torch_ans", setting)
    yield Peer(
        "torch_ans",
        f"{setting}, bytes",
        Timed(lambda _: coder.encode_with_indexes(symbols, indexes)),
        Timed(lambda _: coder.decode_with_indexes(data, indexes)),
        len(data),
    )
    stream = coder.encode(symbols, dist_indexes=indexes)
    # Its first entry says how many bytes are used; decoding changes the tensor.
    stream = stream[:, : 2 + int(stream[0, 0]) // 4].clone()
    yield Peer(
        "torch_ans",
        f"{setting}, tensor",
        Timed(lambda _: coder.encode(symbols, dist_indexes=indexes)),
        Timed(lambda copy: coder.decode(copy, dist_indexes=indexes), stream.clone),
        len(data),
    )


PEERS: dict[str, Callable[[CodedSymbols], Iterator[Peer]]] = {
    "compressai": compressai,
    "constriction": constriction,
    "torch_ans": torch_ans,
}
