"""The entropy of a packet's integers under its engine's integer tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import fcmrt
    from fcmrt.walk import Integers


def ideal_bits(engine: fcmrt.Engine, latents: Iterable[Integers]) -> float:
    """Add up what the integers of latents take; skipped ones take nothing.

    Args:
        engine: Whose tables they are coded with.
        latents: Of one picture.
    """
    bits = 0.0
    for latent in latents:
        coded = latent.indexes >= latent.skip
        tables = engine.tables(latent.tables)
        bits += tables.ideal_bits(latent.symbols[coded], latent.indexes[coded])
    return bits
