"""Features to packets."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .arguments import instance, method, word
from .arrays import FloatArray, as_writable_bytes
from .bitstream import EVEN, FEATURE_DTYPES, FeatureDType, Importance, StreamHeader, put_packet
from .config import CodingParams, RuntimeOptions
from .demand import LimitWarnings
from .engine import Engine
from .errors import ConfigError, ShapeError
from .executor import executor_for
from .importance import ROI_GAIN, importance_of
from .intake import Intake, Level, sizes_in_order, sizes_of
from .observe import Recorder, StageClock
from .ondevice import DeviceEncoder, machine_for
from .packet import Packet, presentation_time
from .picture_encoder import PictureEncoder
from .requantise import requantised
from .spec import Size
from .stream_header import fraction, make_header
from .walk import Walk
from .wish import Wish, Wishes


class Encoder:
    """Encodes the features of pictures, each to one packet.

    Cheap to make once the engine is loaded. One encoder may be used by several threads at once;
    pickled, with its engine, it goes to other processes.

    Args:
        engine: The codec.
        quality: Quality level, 1 (fewest bytes) to the number of levels; fractions are allowed;
            None: the engine's default.
        params: Parameters of the entropy coder; they change the packets' bytes.
        options: How the work is done; they never change the bytes of an exact engine's packets.
        sizes: Height and width of every level, by name. Packets of these sizes do not repeat them
            and need the stream header (`header`) to be decoded; None: every packet carries its
            sizes and can be decoded alone.
        dtype: Element type in the stream header, which decoders made with that header return by
            default; what `encode` takes does not depend on it.
        time_base: Seconds of one tick of `pts`.
        recorder: Receives the duration of each stage.

    Raises:
        ConfigError: An option of another type or out of range, or sizes for other levels than the
            engine's.
        ShapeError: Sizes that levels of one picture cannot have.
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
        instance(engine, Engine, "engine", "load it: Engine.load(path)")
        self.engine = engine
        self.params = CodingParams() if params is None else params
        instance(self.params, CodingParams, "params")
        options = RuntimeOptions() if options is None else options
        instance(options, RuntimeOptions, "options")
        word(dtype, "dtype", FEATURE_DTYPES)
        self._options = options
        self._quality = quality
        self._time_base = fraction(time_base)
        if recorder is not None:
            method(recorder, "record", "recorder")
        self._executor = executor_for(engine, options)
        self._machine = machine_for(self._executor, options)
        levels = engine.manifest.features
        self._intake = Intake(levels, None if self._machine is None else self._machine.device)
        self._wishes = Wishes(self._executor, quality)
        self._sizes = None if sizes is None else sizes_in_order(levels, sizes)
        self._dtype: FeatureDType = dtype
        self._recorder = recorder
        self._limit_warnings = LimitWarnings(engine.manifest)
        if self._sizes is not None:
            self._limit_warnings.see_sizes(self._sizes)
        self._pictures = PictureEncoder(self._executor, self.params, self._sizes)
        self._on_device = (
            None
            if self._machine is None
            else DeviceEncoder(self._machine, self.params, self._sizes)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        names = [spec.name for spec in self.engine.manifest.features]
        made = functools.partial(
            type(self),
            self.engine,
            quality=self._quality,
            params=self.params,
            options=self._options,
            sizes=None if self._sizes is None else dict(zip(names, self._sizes, strict=True)),
            dtype=self._dtype,
            time_base=self._time_base,
            recorder=self._recorder,
        )
        return made, ()

    @property
    def header(self) -> StreamHeader:
        """The stream header of this encoder's packets.

        For a same-engine codec it identifies what runs the networks here: a digest that decoders
        compare, and the text behind it in the note `runner`.
        """
        return make_header(
            self.engine,
            self._executor.identity,
            self.params,
            self._sizes,
            self._dtype,
            self._time_base,
        )

    def encode(
        self,
        features: Any,
        *,
        quality: float | None = None,
        step: int | None = None,
        importance: Importance | Mapping[str, float] | bool | None = None,
        target_bytes: int | None = None,
        level_offsets: Mapping[str, int] | None = None,
        roi: Any = None,
        roi_gain: int = ROI_GAIN,
        pts: int | None = None,
    ) -> Any:
        """Encodes one picture's features, or a batch.

        Args:
            features: float32 or float16: a mapping of level names to arrays, a sequence of arrays
                in the engine's order, or, if there is one level, one array. Arrays are
                `[C, H, W]`, or `[N, C, H, W]` for a batch; NumPy, or anything with DLPack or the
                buffer protocol; where the coder is on a GPU, also arrays in its memory, with
                DLPack or `__cuda_array_interface__`. Borrowed until the call returns. Any H and W:
                the engine's padding is applied inside, and the packet carries the true sizes.
            quality: Quality level of this call; None: the encoder's.
            step: Number of the quality step, instead of a quality level.
            importance: Which levels and parts of a picture get other steps. One of: an
                `Importance`, the same for all pictures of a batch, which excludes `level_offsets`
                and `roi`; True: each picture's levels and regions get what the engine's importance
                model predicts that the task needs, at the price of bits that goes with the
                quality; or weights by level, above 0, in place of the model's prediction for
                levels (equal weights are those of an average picture). `level_offsets` and `roi`
                are added to the steps that True or weights lead to; with True, `roi` takes the
                place of the predicted regions (`[]`: no regions).
            target_bytes: Length that each packet comes near to, mostly within 1 %: the steps of
                all levels are moved until it does, with an importance of any kind from where that
                puts them. (For a number of bits per pixel: `bpp * pixels / 8`.)
            level_offsets: By feature level, steps added to the picture's; negative: finer.
            roi: Regions of interest: boxes, in fractions of the picture, or a mask; see
                `importance()`.
            roi_gain: By how many steps regions are finer than the rest.
            pts: Presentation time of the (first) packet, in units of the time base; the pictures
                of a batch count up from there.

        Returns:
            A `Packet`, owned; for a batch a list of them, with an exact engine each the same
            bytes as if encoded alone.

        Raises:
            ShapeError: Wrong rank, channels or number of levels; levels of different batches; or
                sizes that levels of one picture cannot have: each must have the finest level's
                rows and columns divided by its stride, up to rounding and a cell.
            DTypeError: Not arrays of float32 or float16; or NaN or infinity among them, or among
                the latents that the networks make of them, since they are too large.
            DeviceError: Arrays on a GPU, while the coder is on the host.
            ConfigError: A quality or step that the engine does not have, an importance that does
                not fit it, or a `target_bytes` where quality does not follow steps.
            TargetError: A `target_bytes` that no steps lead to; the text gives the picture's range.
            InexactRunnerError: The runner is not exact at this size; nothing was encoded.

        Warns once per encoder (`UserWarning`) of pictures that decoders with the default `Limits`
        refuse; the text says which limit to raise.

        With the coder on a GPU, launches go to CuPy's current stream, and the call waits for the
        packets. Calls that search for steps (`target_bytes`, importance as True or weights) use
        the host's kernels even then; the networks run where they always do.

        Determinism: The packet's bytes follow from the integers that the networks lead to, which
            are the same for the same input on the same machine, library and thread count.
        """
        d = self._wishes.step(quality, step)
        pts = None if pts is None else presentation_time(pts)
        clock = StageClock(self._recorder)
        levels = self._intake.levels(features)
        self._limit_warnings.see_sizes(sizes_of(levels))
        wish = self._wishes.wish(
            sizes_of(levels), importance, target_bytes, level_offsets, roi, roi_gain
        )
        batch = levels if levels[0].is_batch else [level.as_batch() for level in levels]
        packets = self._encode(batch, d, wish, pts, clock)
        self._limit_warnings.see_packet(max(map(len, packets)))
        return packets if levels[0].is_batch else packets[0]

    def _encode(
        self, levels: list[Level], d: int, wish: Wish, pts: int | None, clock: StageClock
    ) -> list[Packet]:
        def on_host() -> list[Packet]:
            arrays = self._intake.on_host(levels)
            return self._pictures.encode_batch(arrays, d, wish, pts, clock, self._recorder)

        if self._on_device is None or not wish.is_plain:
            return on_host()
        return self._on_device.encode_placed(levels, d, wish.importance, pts, clock, on_host)

    def encode_into(
        self,
        features: Any,
        buffer: Any,
        *,
        quality: float | None = None,
        step: int | None = None,
        importance: Importance | Mapping[str, float] | bool | None = None,
        target_bytes: int | None = None,
        level_offsets: Mapping[str, int] | None = None,
        roi: Any = None,
        roi_gain: int = ROI_GAIN,
    ) -> int:
        """Encodes one picture's features into the caller's memory.

        Args:
            features: As for `encode`, without a batch.
            buffer: Writable, contiguous, bytes-like; borrowed until the call returns. The packet
                is written to its beginning; what follows is left as it was.
            quality: This and all that follow as for `encode`.
            step: Number of the quality step, instead of a quality level.
            importance: Which levels and parts get other steps.
            target_bytes: Length that the packet comes near to.
            level_offsets: Steps added, by level.
            roi: Regions of interest.
            roi_gain: By how many steps regions are finer than the rest.

        Returns:
            The packet's length in bytes; its bytes are those that `encode` gives.

        Raises:
            ShapeError: The buffer is too small (the text gives the length that is needed, and
                nothing was written); or the features are a batch.
            DTypeError: The buffer cannot be written to.
            FcmrtError: As for `encode`.
        """
        d = self._wishes.step(quality, step)
        target = as_writable_bytes(buffer, "buffer")
        clock = StageClock(self._recorder)
        levels = self._one_picture(features)
        self._limit_warnings.see_sizes(sizes_of(levels))
        wish = self._wishes.wish(
            sizes_of(levels), importance, target_bytes, level_offsets, roi, roi_gain
        )
        if self._on_device is not None and wish.is_plain:
            return put_packet(target, bytes(self._encode(levels, d, wish, None, clock)[0]))
        size = self._pictures.encode_into(target, self._intake.on_host(levels), d, wish, clock)
        clock.report()
        self._limit_warnings.see_packet(size)
        return size

    def take(self, features: Any) -> list[FloatArray]:
        """Brings features into the engine's order, which is the first thing that `encode` does.

        Args:
            features: As for `encode`.

        Returns:
            float32 arrays in the host's memory, all `[C, H, W]` or all `[N, C, H, W]`; views of
            the caller's where possible.

        Raises:
            ShapeError, DTypeError, DeviceError, ConfigError: As `encode`.
        """
        return self._intake.on_host(self._intake.levels(features))

    def importance(
        self,
        features: Any,
        *,
        level_offsets: Mapping[str, int] | None = None,
        roi: Any = None,
        roi_gain: int = ROI_GAIN,
    ) -> Importance:
        """Makes the importance of pictures of one size.

        Args:
            features: As for `encode`; only their sizes matter.
            level_offsets: By feature level that has a latent of its own, steps added to the
                picture's; negative: finer.
            roi: Regions of interest. Boxes: a sequence or float array, `[N, 4]` or `[4]`, of left,
                top, right and bottom, in fractions of the picture, 0 to 1; rounded outwards to
                cells, cut at the picture's edges; refused if their numbers are beyond -16 to 16,
                or whole and outside the picture, as pixels are. Or a mask of the finest level's
                cells, `[H, W]`: bool, where True is of interest; or integers, which are steps added
                to the picture's. A mask of many shapes is coded in coarser blocks, each with the
                finest step in it.
            roi_gain: By how many steps regions are finer than the rest.

        Returns:
            The importance, for `importance=` of other calls with pictures of these sizes.

        Raises:
            ConfigError: A level without a latent of its own, or a `roi` that is no box or mask.
            ShapeError, DTypeError, DeviceError: As `encode`.
        """
        sizes = sizes_of(self._intake.levels(features))
        return importance_of(self.engine.manifest, sizes, level_offsets, roi, roi_gain)

    def predict_weights(self, features: Any) -> dict[str, float]:
        """Predicts how much the task needs each level of one picture.

        Args:
            features: As for `encode`, one picture.

        Returns:
            By name of the level, above 0; on training pictures 1 on average. As `importance=` only
            their ratios count, and so `encode` shares bits out over the levels as with True, but
            neither over pictures nor inside them.

        Raises:
            ShapeError: As `encode`, or a batch.
            DTypeError, DeviceError: As `encode`.
            ConfigError: The engine has no importance model.
            EngineError: Its graph does not give what the manifest says.
        """
        allocator = self._wishes.allocator
        levels = self._intake.on_host(self._one_picture(features))
        walk = self._pictures.begun(levels, allocator.first_step, EVEN, StageClock(None))
        return allocator.by_level(allocator.predicted(walk))

    def walk(
        self,
        features: Any,
        *,
        quality: float | None = None,
        step: int | None = None,
        importance: Importance | Mapping[str, float] | bool | None = None,
        target_bytes: int | None = None,
        level_offsets: Mapping[str, int] | None = None,
        roi: Any = None,
        roi_gain: int = ROI_GAIN,
    ) -> Walk:
        """Takes one picture's features as far as their integers; `code` goes on from there.

        For looking at every tensor between features and packet.

        Args:
            features: As for `encode`, one picture.
            quality: This and all that follow as for `encode`.
            step: Number of the quality step, instead of a quality level.
            importance: Which levels and parts get other steps.
            target_bytes: Length that the packet comes near to.
            level_offsets: Steps added, by level.
            roi: Regions of interest.
            roi_gain: By how many steps regions are finer than the rest.

        Returns:
            The walk, which owns its tensors and integers.

        Raises:
            ShapeError: As `encode`, or a batch.
            DTypeError, DeviceError, ConfigError: As `encode`.
        """
        d = self._wishes.step(quality, step)
        levels = self._one_picture(features)
        wish = self._wishes.wish(
            sizes_of(levels), importance, target_bytes, level_offsets, roi, roi_gain
        )
        return self._pictures.walk(self._intake.on_host(levels), d, wish, StageClock(None))

    def requantise(
        self,
        walk: Walk,
        *,
        quality: float | None = None,
        step: int | None = None,
        importance: Importance | None = None,
    ) -> Walk:
        """Finds the integers of a walked picture at other steps.

        Only what depends on the changed steps is done again: analysis never, unless quality
        follows gains; networks of the exact path only where they see what is quantised anew.

        Args:
            walk: Of this encoder's engine; borrowed, and unchanged.
            quality: Quality level; None: the walk's step.
            step: Number of the quality step, instead of a quality level.
            importance: Which levels and parts get other steps; None: the walk's.

        Returns:
            What `walk` would have given at these steps; it shares arrays with the first walk.

        Raises:
            ConfigError: As `encode`, or the walk is of another engine.
        """
        self._require_own(walk)
        if importance is not None:
            instance(importance, Importance, "importance")
        d = walk.d if quality is None and step is None else self._wishes.step(quality, step)
        return requantised(walk, d, walk.importance if importance is None else importance)

    def code(self, walk: Walk, pts: int | None = None) -> Packet:
        """Codes the integers of a walk.

        Args:
            walk: Of the same engine, with the integers of every latent; borrowed.
            pts: As for `encode`.

        Returns:
            The packet that `encode` would have made.

        Raises:
            ConfigError: It is of another engine.
        """
        self._require_own(walk)
        pts = None if pts is None else presentation_time(pts)
        return self._pictures.packet(walk, pts, StageClock(None))

    def _require_own(self, walk: Any) -> None:
        instance(walk, Walk, "walk")
        if walk.manifest != self.engine.manifest:
            raise ConfigError("the walk is of another engine than this encoder's")

    def _one_picture(self, features: Any) -> list[Level]:
        """One picture's features, as a batch of one."""
        levels = self._intake.levels(features)
        if levels[0].is_batch:
            raise ShapeError("these features are a batch; one picture is wanted, [C, H, W]")
        return [level.as_batch() for level in levels]
