"""Features to packets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .arrays import FloatArray, as_features, as_numpy
from .bitstream import FeatureDType, Geometry, LevelSpec, PacketHead, StreamHeader, write_packet
from .config import CodingParams, RuntimeOptions
from .engine import Engine
from .errors import ConfigError, ShapeError
from .executor import RUNNER_NOTE, Walk, executor_for, runner_digest
from .kernels.api import CodeStep
from .observe import Recorder, StageClock
from .packet import Packet
from .schedule import Code, Dequantize, Quantize, Run
from .spec import Size, margins, padded_size, tensor_size

_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "zero": "constant"}


class Encoder:
    """Encodes the features of pictures, each to one packet.

    Cheap to make once the engine is loaded. One encoder may be used by several threads at once.

    Args:
        engine: The codec.
        quality: Quality level, 1 (fewest bytes) to the number of levels; fractions are allowed;
            None: the engine's default.
        params: Parameters of the entropy coder; they show in the bytes.
        options: How the work is done; it never shows in the bytes of an exact engine.
        sizes: Height and width of every level, by name. Packets of these sizes do not tell them
            again and need the stream header (`header`) to be decoded; None: every packet tells
            its sizes and can be decoded alone.
        dtype: Element type that the stream header tells, and that decoders made with it give back
            unless told otherwise; what `encode` takes does not depend on it.
        time_base: Seconds of one tick of `pts`.
        recorder: Is told how long each stage takes.

    Raises:
        ConfigError: A quality out of range, or sizes for other levels than the engine's.
        BackendUnavailableError: A library that the options ask for is not installed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        quality: float | None = None,
        params: CodingParams | None = None,
        options: RuntimeOptions | None = None,
        sizes: Mapping[str, Size] | None = None,
        dtype: FeatureDType = "float32",
        time_base: Fraction = Fraction(1),
        recorder: Recorder | None = None,
    ) -> None:
        self.engine = engine
        self.params = params or CodingParams()
        self._executor = executor_for(engine, options or RuntimeOptions())
        self._features = engine.manifest.features
        self._step = self._choose_step(quality, None)
        self._sizes = None if sizes is None else self._order(sizes)
        self._dtype: FeatureDType = dtype
        self._time_base = time_base
        self._recorder = recorder
        # The check over the integers has 16 bits with one lane and 32 with more.
        self._least_lanes = 1 if engine.manifest.profile == "exact" else 2
        self._code_order = [s.latent for s in engine.manifest.encode if isinstance(s, Code)]

    @property
    def header(self) -> StreamHeader:
        """The stream header of this encoder's packets.

        That of a same-engine codec tells what runs the networks here: a digest that decoders
        compare, and the words behind it in the note `runner`.
        """
        sizes = self._sizes or tuple((0, 0) for _ in self._features)
        profile = self.engine.manifest.profile
        same = profile == "same-engine"
        identity = self._executor.identity
        return StreamHeader(
            engine_digest=self.engine.digest,
            profile=profile,
            runner_digest=runner_digest(identity) if same else None,
            notes=((RUNNER_NOTE, identity),) if same else (),
            coding=self.params,
            time_base=(self._time_base.numerator, self._time_base.denominator),
            levels=tuple(
                LevelSpec(
                    name=f.name,
                    channels=f.channels,
                    height=height,
                    width=width,
                    dtype=self._dtype,
                )
                for f, (height, width) in zip(self._features, sizes, strict=True)
            ),
        )

    def encode(
        self,
        features: Any,
        *,
        quality: float | None = None,
        step: int | None = None,
        pts: int | None = None,
    ) -> Any:
        """Encodes one picture's features, or a batch.

        Args:
            features: float32 or float16, on the CPU: a mapping of level names to arrays, a
                sequence of arrays in the engine's order, or, if there is one level, one array.
                Arrays are `[C, H, W]`, or `[N, C, H, W]` for a batch; NumPy, or anything with
                DLPack or the buffer protocol. Borrowed until the call returns. Any H and W: the
                engine's padding is applied inside, and the packet tells the true sizes.
            quality: Quality level of this call; None: the encoder's.
            step: Number of the quality step, instead of a quality level.
            pts: Presentation time of the (first) packet, in units of the time base; the pictures
                of a batch count up from there.

        Returns:
            A `Packet`; for a batch a list of them, each the same bytes as if encoded alone (of an
            exact engine).

        Raises:
            ShapeError: Wrong rank, channels, number of levels, or levels of different batches.
            DTypeError: Not arrays of float32 or float16, or NaN or infinity among them.
            DeviceError: Arrays that are not in the CPU's memory.
            ConfigError: A quality or step that the engine does not have.
            InexactRunnerError: The runner is not exact at this size; nothing was encoded.

        Determinism: The packet's bytes follow from the integers that the networks lead to. They
            are the same for the same input on the same machine, library and thread count.
        """
        d = self._choose_step(quality, step) if (quality, step) != (None, None) else self._step
        clock = StageClock(self._recorder)
        levels = self._take(features)
        if levels[0].ndim == 3:
            return self._encode_picture([level[None] for level in levels], d, pts, clock)
        packets = []
        for n in range(levels[0].shape[0]):
            item_pts = None if pts is None else pts + n
            packets.append(
                self._encode_picture([level[n : n + 1] for level in levels], d, item_pts, clock)
            )
            clock = StageClock(self._recorder)
        return packets

    def _choose_step(self, quality: float | None, step: int | None) -> int:
        manifest = self.engine.manifest
        if step is None:
            return manifest.quality.shift(manifest.quality.default if quality is None else quality)
        if quality is not None:
            raise ConfigError("give a quality or a step, not both")
        manifest.steps.width(step)
        return step

    def _order(self, levels: Mapping[str, Any]) -> tuple[Any, ...]:
        wanted = [f.name for f in self._features]
        if set(levels) != set(wanted):
            raise ConfigError(
                f"got the levels {', '.join(sorted(map(str, levels)))}; the engine has "
                f"{', '.join(wanted)}"
            )
        return tuple(levels[name] for name in wanted)

    def _take(self, features: Any) -> list[FloatArray]:
        """Brings features into the engine's order, checked, as float32 arrays of one rank."""
        names = [f.name for f in self._features]
        if isinstance(features, Mapping):
            arrays: Sequence[Any] = self._order(features)
        elif isinstance(features, list | tuple):
            arrays = features
        else:
            arrays = [features]
        if len(arrays) != len(names):
            raise ShapeError(f"got {len(arrays)} levels; the engine has {', '.join(names)}")
        levels = []
        for spec, array in zip(self._features, arrays, strict=True):
            shape = as_numpy(array, spec.name).shape
            if len(shape) not in (3, 4):
                raise ShapeError(
                    f"{spec.name} has shape {list(shape)}; it must be [C, H, W] or [N, C, H, W]"
                )
            if shape[-3] != spec.channels:
                raise ShapeError(
                    f"{spec.name} has {shape[-3]} channels (shape {list(shape)}); the engine "
                    f"takes {spec.channels}, in the order [C, H, W]"
                )
            if 0 in shape:
                raise ShapeError(f"{spec.name} is empty (shape {list(shape)})")
            levels.append(as_features(array, spec.name))
        if len({level.shape[:-3] for level in levels}) > 1:
            raise ShapeError(
                "the levels differ in batch: "
                + ", ".join(f"{n} {list(a.shape)}" for n, a in zip(names, levels, strict=True))
            )
        return levels

    def _encode_picture(
        self, levels: list[FloatArray], d: int, pts: int | None, clock: StageClock
    ) -> Packet:
        manifest = self.engine.manifest
        sizes = tuple((level.shape[2], level.shape[3]) for level in levels)
        padded = padded_size(self._features, sizes, manifest.padding)
        walk = Walk(self._executor, padded, d, clock)
        for spec, level, size in zip(self._features, levels, sizes, strict=True):
            walk.tensors[spec.name] = self._pad(level, size, tensor_size(spec.tensor, padded))
        clock.lap("prepare")

        for step in manifest.encode:
            if isinstance(step, Run):
                walk.run(step)
            elif isinstance(step, Quantize):
                walk.quantize(step.latent)
            elif isinstance(step, Dequantize):
                walk.dequantize(step)
        code_steps = [
            CodeStep(
                walk.integers[name].symbols,
                walk.integers[name].indexes,
                self._executor.tables(manifest.latents[name]),
                walk.integers[name].skip,
            )
            for name in self._code_order
        ]
        coder = self._executor.kernels
        lanes, segments = coder.plan(code_steps, self.params.overhead_permille, self._least_lanes)
        payload = coder.encode(code_steps, lanes, segments, walk.check(self._code_order))
        clock.lap("code")

        strides = [f.stride for f in self._features]
        head = PacketHead(
            lanes=lanes,
            step=d,
            geometry=None if sizes == self._sizes else Geometry.of_levels(sizes, strides),
            words=payload.words,
            escape_bytes=len(payload.escapes),
        )
        packet = Packet(
            write_packet(head, payload.segments, payload.escapes, self.engine.digest),
            pts=pts,
            elements=sum(level.size for level in levels),
        )
        clock.lap("pack")
        clock.stop()
        return packet

    def _pad(self, level: FloatArray, size: Size, padded: Size) -> FloatArray:
        if size == padded:
            return level
        padding = self.engine.manifest.padding
        top, bottom, left, right = margins(size, padded, padding)
        mode = _PAD_MODES[padding.mode]
        if mode == "reflect" and (max(top, bottom) >= size[0] or max(left, right) >= size[1]):
            mode = "edge"  # a map smaller than its padding cannot be mirrored
        widths = ((0, 0), (0, 0), (top, bottom), (left, right))
        result: FloatArray = np.pad(level, widths, mode=mode)  # type: ignore[call-overload]
        return result
