"""How the codecs that are trained here are coded: tables, steps and quality levels."""

from __future__ import annotations

from collections.abc import Sequence

from fcmrt.spec import UNIT_STEP, LatentSpec, Quality, StepTable
from fcmrt.tables import CdfTables

from .entropy import (
    INDEXES_PER_OCTAVE,
    SIGMA_0,
    STEPS_PER_OCTAVE,
    TABLES,
    Z_RANGE,
    ChannelPrior,
)
from .tables import channel_tables, gaussian_tables

SKIP = 4
"""Elements whose table index is lower are not coded: sigma below 0.156; 99.9 % of symbols are 0."""

FINE_MEAN_BITS = 13
"""Bits of the grid for means of networks that were trained without one: it moves no mean by more
than 2^-14, and holds means up to 1024."""

STEP_RANGE = 32
"""Steps `d` in the engine's table on either side of 0: a factor of 16 either way."""

DEFAULT_LEVELS = (22, 19, 16, 13, 10, 7, 4, 1, -2)
"""Steps of the quality levels, down to the finest from which the shipped codec still gains."""


def step_table() -> StepTable:
    """Returns the quality steps 2^(d/8) in units of 2^-16."""
    widths = (2 ** (d / STEPS_PER_OCTAVE) for d in range(-STEP_RANGE, STEP_RANGE + 1))
    return StepTable(-STEP_RANGE, tuple(round(UNIT_STEP * width) for width in widths))


def quality_of(levels: Sequence[int], default: int | None = None) -> Quality:
    """Returns the quality levels of these steps, the one with the fewest bytes first.

    Args:
        levels: Steps `d`, strictly decreasing.
        default: Level used when none is asked for; None: the middle one.
    """
    return Quality(tuple(levels), default or (len(levels) + 1) // 2)


def hyper_latent(source: str, tables: str) -> LatentSpec:
    """Returns a latent that is rounded with step 1 and has one table per channel."""
    return LatentSpec(source, tables, None, None, step=False, skip=0)


def gaussians() -> CdfTables:
    """Returns the tables of `y`."""
    return gaussian_tables(TABLES, SIGMA_0, INDEXES_PER_OCTAVE)


def prior_tables(prior: ChannelPrior) -> CdfTables:
    """Returns the tables of `z`, one per channel."""
    return channel_tables(prior.probabilities(-Z_RANGE, Z_RANGE).numpy(), -Z_RANGE)
