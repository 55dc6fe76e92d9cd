"""Faults in a decoder that was loaded and checked: a weight, a table entry, an index, a mean."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

import fcmrt
from fcmrt.errors import BitstreamError, DriftError
from fcmrt.exact import bring_up
from fcmrt.executor import Executor
from fcmrt.packet_reader import PacketReader
from fcmrt.picture_decoder import PictureDecoder
from fcmrt.runner import make_runner
from fcmrt.schedule import Code, Run
from fcmrt.tables import CdfTables

from .interop_matrix import differing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fcmrt.kernels.api import Indexes, Kernels, PreparedTables, StepDecoder, StepMap
    from fcmrt.runner import Network
    from fcmrt.spec import LatentSpec
    from fcmrt.walk import Integers

    from .report import Row

    Features = Mapping[str, NDArray[np.float32]]

Kind = Literal["weight", "table", "index", "mean"]
KINDS: tuple[Kind, ...] = ("weight", "table", "index", "mean")

OPTIONS = fcmrt.RuntimeOptions(threads=1)


class Sent(NamedTuple):
    """A packet, and what its encoder knew."""

    packet: bytes
    integers: dict[str, Integers]
    shapes: dict[str, tuple[int, ...]]
    """Of every tensor between features and packet."""


class Unchecked(PictureDecoder):
    """A decoder that does not compare the check, so that only the coder's own rules are left."""

    def _check_integers(self, walk: Any, decoder: StepDecoder, lanes: int) -> None:
        try:
            decoder.finish()
        except BitstreamError as error:
            raise DriftError("the coder did not end as it must") from error


class FaultyKernels:
    """Kernels that get one table index wrong; everything else as the ones they stand for."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self.change: Callable[[Indexes, int], None] | None = None
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def shift_indexes(self, indexes: Any, shift: int | StepMap, table_count: int) -> Indexes:
        """See `fcmrt.kernels.api.Kernels.shift_indexes`."""
        found = self._kernels.shift_indexes(indexes, shift, table_count)
        if self.change is not None:
            self.change(found, self.calls)
        self.calls += 1
        return found


class FaultyExecutor(Executor):
    """An executor into which one fault can be put."""

    def __init__(self, engine: fcmrt.Engine) -> None:
        super().__init__(engine, OPTIONS)
        self.faulty_kernels = FaultyKernels(self.kernels)
        self.kernels = self.faulty_kernels
        self.mend()
        self._known: dict[str, tuple[list[Any], list[Any]]] = {}

    def mend(self) -> None:
        """Take all faults out."""
        self.replaced: dict[str, Network] = {}
        self.changed_tables: dict[str, PreparedTables] = {}
        self.change_output: Callable[[str, NDArray[Any]], None] | None = None
        self.faulty_kernels.change = None
        self.faulty_kernels.calls = 0

    def tables(self, latent: LatentSpec) -> PreparedTables:
        """See `Executor.tables`."""
        return self.changed_tables.get(latent.tables) or super().tables(latent)

    def run(
        self, name: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> list[NDArray[Any]]:
        """See `Executor.run`; a network that is asked the same again does not compute again."""
        if name in self.replaced:
            return self.replaced[name].run(inputs, outputs)
        asked, answered = self._known.get(name, ([], []))
        given = list(inputs.values())
        if not asked or not all(map(np.array_equal, asked, given)):
            answered = super().run(name, inputs, outputs)
            self._known[name] = ([array.copy() for array in given], answered)
        results = [array.copy() for array in answered]
        if self.change_output is not None:
            for output, array in zip(outputs, results, strict=True):
                self.change_output(output, array)
        return results


class Injection:
    """Trials of faults on one engine.

    Args:
        engine: The codec.
        pictures: Features to send.
        seed: Of everything drawn.
    """

    def __init__(self, engine: fcmrt.Engine, pictures: Sequence[Features], seed: int) -> None:
        self._engine = engine
        self._draw = np.random.default_rng(seed)
        self._executor = FaultyExecutor(engine)
        self._reader = PacketReader(self._executor, None, fcmrt.Limits())
        self._decoders = PictureDecoder(self._executor), Unchecked(self._executor)
        params = fcmrt.CodingParams(check_bits=32)
        encoder = fcmrt.Encoder(engine, params=params, options=OPTIONS)
        self._sent = [self._send(encoder, features) for features in pictures]
        self._runs = [step for step in engine.manifest.decode if isinstance(step, Run)]
        self._latents = [s.latent for s in engine.manifest.decode if isinstance(s, Code)]

    @staticmethod
    def _send(encoder: fcmrt.Encoder, features: Features) -> Sent:
        walk = encoder.walk(features)
        shapes = {name: array.shape for name, array in walk.tensors.items()}
        return Sent(bytes(encoder.code(walk)), walk.integers, shapes)

    def trials(self, kind: Kind, count: int) -> Row:
        """Put in one fault after the other, each alone, and count what becomes of the packets.

        Args:
            kind: What is changed.
            count: Number of trials.
        """
        counts: Counter[str] = Counter()
        for k in range(count):
            sent = self._sent[k % len(self._sent)]
            self._executor.mend()
            refused = getattr(self, f"_{kind}")(sent)
            checked, unchecked = (self._outcome(decoder, sent) for decoder in self._decoders)
            counts["refused_by_bringup"] += refused
            counts[checked if not refused or checked != "wrong" else "caught"] += 1
            counts[f"{unchecked}_unchecked"] += 1
        self._executor.mend()
        keys = ("caught", "harmless", "wrong", "caught_unchecked", "wrong_unchecked")
        row: Row = {"fault": kind, "trials": count, **{key: counts[key] for key in keys}}
        row["refused_by_bringup"] = counts["refused_by_bringup"] if kind == "weight" else None
        return row

    def _outcome(self, decoder: PictureDecoder, sent: Sent) -> str:
        self._executor.faulty_kernels.calls = 0
        try:
            found = decoder.integers(self._reader.read(sent.packet))
        except BitstreamError:
            return "caught"
        right = all(differing(sent.integers[name], found[name]) == 0 for name in found)
        return "harmless" if right else "wrong"

    def _weight(self, sent: Sent) -> bool:
        """Add or subtract 1 from a weight of an exact graph; give whether the bring-up refuses."""
        manifest, draw = self._engine.manifest, self._draw
        name = str(draw.choice(list(manifest.exact)))
        graph, proof = self._engine.exact_graph(name)
        data = bytearray(self._engine.graph(name))
        weights = [array for array in graph.constants.values() if array.ndim == 4]
        sizes = np.array([array.size for array in weights])
        array = weights[draw.choice(len(weights), p=sizes / sizes.sum())]
        place = data.find(array.tobytes()) + array.itemsize * int(draw.integers(array.size))
        stored = np.frombuffer(data, array.dtype, 1, place)
        stored[0] += draw.choice((-1, 1))
        network = make_runner(OPTIONS).load(name, bytes(data), exact=True)
        self._executor.replaced[name] = network
        run = next(step for step in self._runs if step.graph == name)
        shapes = {tensor: sent.shapes[tensor] for tensor in run.inputs}
        return not bring_up(graph, proof, network, shapes, run.outputs).exact

    def _table(self, sent: Sent) -> bool:
        """Move a boundary between two events, or the offset, of a table that the packet uses."""
        draw, integers = self._draw, sent.integers[self._some_latent(sent)]
        tables = self._engine.tables(integers.tables)
        used = integers.indexes[integers.indexes >= integers.skip]
        t = int(draw.choice(used))
        offsets, freqs = tables.offsets.copy(), tables.freqs.copy()
        first, last = int(tables.starts[t]), int(tables.starts[t + 1]) - 1
        if last == first or draw.random() < 0.25:
            offsets[t] += draw.choice((-1, 1))
        else:
            give = first + int(draw.choice(np.flatnonzero(freqs[first : last + 1] > 1)))
            take = give + 1 if give == first or (give < last and draw.random() < 0.5) else give - 1
            moved = int(draw.integers(1, freqs[give]))
            freqs[give] -= moved
            freqs[take] += moved
        changed = CdfTables(offsets, tables.sizes, freqs)
        self._executor.changed_tables[integers.tables] = self._executor.kernels.prepare(changed)
        return False

    def _index(self, sent: Sent) -> bool:
        """Change the table index of one element."""
        name = self._some_latent(sent)
        count = self._engine.tables(sent.integers[name].tables).count
        place = int(self._draw.integers(len(sent.integers[name].indexes)))
        change = self._nearby_or_any(count)
        turn = self._latents.index(name)

        def wrong(indexes: Indexes, call: int) -> None:
            if call == turn:
                indexes[place] = (int(indexes[place]) + change) % count

        self._executor.faulty_kernels.change = wrong
        return False

    def _mean(self, sent: Sent) -> bool:
        """Change the mean of one element."""
        latents = self._engine.manifest.latents
        means = [latents[name].means for name in self._latents]
        chosen = str(self._draw.choice([name for name in means if name is not None]))
        place = tuple(int(self._draw.integers(side)) for side in sent.shapes[chosen])
        change = self._nearby_or_any(1 << 16)

        def wrong(name: str, output: NDArray[Any]) -> None:
            if name == chosen:
                output[place] += change

        self._executor.change_output = wrong
        return False

    def _some_latent(self, sent: Sent) -> str:
        """Draw a latent, the more likely the more elements it has."""
        sizes = np.array([len(sent.integers[name].symbols) for name in self._latents])
        return str(self._draw.choice(self._latents, p=sizes / sizes.sum()))

    def _nearby_or_any(self, count: int) -> int:
        """Draw a change modulo `count` that is not 0: by one, half of the time."""
        if self._draw.random() < 0.5:
            return int(self._draw.choice((-1, 1)))
        return int(self._draw.integers(1, count))
