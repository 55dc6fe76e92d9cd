"""Packets that no encoder would make: intact in every check, with integers chosen by an attacker.

The engine's digest and the coder are public, so these are the packets that hostile hands can make.
They pass checksum, syntax and the check over the integers, and reach the last network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fcmrt import Engine, RuntimeOptions
from fcmrt.bitstream import Geometry, Importance, PacketHead, write_packet
from fcmrt.executor import executor_for
from fcmrt.kernels.api import CodedPayload, CodeStep
from fcmrt.observe import StageClock
from fcmrt.schedule import Code, Dequantize, Run
from fcmrt.spec import Size, padded_size
from fcmrt.walk import Integers, Walk

# One thread, so that no library starts others, which would not survive a fork.
OPTIONS = RuntimeOptions(threads=1)

_I32 = np.iinfo(np.int32)


def hostile_symbols(rng: np.random.Generator, count: int) -> npt.NDArray[np.int32]:
    """Draws symbols: small ones, some beyond every table, some at the ends of 32 bits."""
    spread = int(rng.choice([0, 1, 4, 300, 1 << 20]))
    symbols = rng.integers(-spread, spread + 1, count)
    extremes = rng.choice([_I32.min, _I32.min + 1, -1, 1 << 24, _I32.max], count)
    share = rng.choice([0.0, 0.0, 0.05, 1.0])
    return np.where(rng.random(count) < share, extremes, symbols).astype(np.int32)


def forge(
    engine: Engine,
    sizes: tuple[Size, ...],
    step: int,
    lanes: int,
    segments: int,
    importance: Importance,
    rng: np.random.Generator,
) -> bytes:
    """Makes a packet whose integers are drawn, not computed.

    Args:
        engine: The codec.
        sizes: Height and width of every level.
        step: Number of the quality step.
        lanes: 1, 2, 4, 8, 16 or 32.
        segments: 1 to 256; also such as no encoder would choose for so few symbols.
        importance: Where the step is another.
        rng: Draws the symbols.

    Returns:
        A packet that tells its sizes.
    """
    manifest = engine.manifest
    executor = executor_for(engine, OPTIONS)
    padded = padded_size(manifest.features, sizes, manifest.padding)
    walk = Walk(executor, padded, step, StageClock(None), importance)
    order = [s.latent for s in manifest.decode if isinstance(s, Code)]
    for part in manifest.decode:
        if isinstance(part, Run):
            walk.run(part)
        elif isinstance(part, Dequantize):
            walk.dequantize(part)
        elif isinstance(part, Code):
            latent = manifest.latents[part.latent]
            means, prior, shift = walk.prior(part.latent)
            count = executor.tables(latent).count
            indexes = executor.kernels.shift_indexes(prior, shift, count)
            symbols = hostile_symbols(rng, len(indexes))
            symbols[indexes < latent.skip] = 0
            walk.integers[part.latent] = Integers(
                latent.tables, latent.skip, indexes, symbols, means
            )
            if part.latent == order[-1]:
                break
    coded = code(engine, walk.integers, lanes, segments)
    geometry = Geometry.of_levels(sizes, [f.stride for f in manifest.features])
    head = PacketHead(lanes, step, geometry, coded.words, len(coded.escapes), importance)
    return write_packet(head, coded.segments, coded.escapes, engine.digest)


def code(
    engine: Engine, integers: Mapping[str, Integers], lanes: int, segments: int
) -> CodedPayload:
    """Codes the integers of a picture, with the check over them, as an encoder does.

    Args:
        engine: The codec.
        integers: Of every latent, in the order in which they are coded.
        lanes: 1, 2, 4, 8, 16 or 32.
        segments: 1 to 256.
    """
    executor = executor_for(engine, OPTIONS)
    steps, check = [], 0
    for k, (name, found) in enumerate(integers.items()):
        tables = executor.tables(engine.manifest.latents[name])
        steps.append(CodeStep(found.symbols, found.indexes, tables, found.skip))
        check += executor.kernels.check(found.symbols, 2 * k)
        if found.means is not None:
            check += executor.kernels.check(found.means, 2 * k + 1)
    return executor.kernels.encode(steps, lanes, segments, check & 0xFFFFFFFF)
