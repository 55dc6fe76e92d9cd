"""Gains between trained levels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.export.gains import POSITION, Gains, gain_quality
from fcmrt.export.levels_deploy import side_by_side
from fcmrt.export.lmsfc_v2_engine import deploy
from fcmrt.spec import GAIN_STEPS
from fcmrt.validator import validate

from .foreign import GoldenCheckpoint


def gains() -> Gains:
    found = Gains(4, 3)
    with torch.no_grad():
        found.values.copy_(torch.tensor([[1, -2, 0.5], [4, 3, 0.25], [9, -5, 3], [10, 6, 0]]))
    return found


def at(position: float) -> torch.Tensor:
    with torch.no_grad():
        found = gains().interpolation()(torch.full((1, 1, 1, 1), position))
    assert found.shape == (1, 3, 1, 1)
    return found.flatten()


@pytest.mark.parametrize("level", range(4))
def test_a_trained_level_has_its_own_gains_without_their_sign(level: int) -> None:
    torch.testing.assert_close(at(level), gains().values[level].abs(), rtol=1e-5, atol=1e-20)


@given(st.integers(0, 2), st.floats(0, 1))
def test_between_two_levels_gains_are_geometric_means(below: int, share: float) -> None:
    low, high = gains().values[below].abs(), gains().values[below + 1].abs()
    wanted = low ** (1 - share) * high.clamp(min=1e-30) ** share
    torch.testing.assert_close(at(below + share), wanted, rtol=2e-5, atol=1e-20)


def test_a_step_number_is_a_sixteenth_of_a_level() -> None:
    quality = gain_quality(8)
    assert quality.input == POSITION
    assert quality.mechanism == "gain"
    assert quality.levels == tuple(range(0, -8 * GAIN_STEPS, -GAIN_STEPS))
    assert [quality.position(quality.shift(level)) for level in (1, 2.5, 8)] == [0, 1.5, 7]
    assert quality.default == 4
    assert gain_quality(6, 6).default == 6


def test_codecs_side_by_side_are_told_one_position() -> None:
    state = GoldenCheckpoint("lmsfc_v2_dkn").state
    both = side_by_side([deploy(state, level_names=names) for names in ("abc", "def")], [1, 2])
    assert [run.graph for run in both.runs.values() if POSITION in run.inputs] == [
        "a_analysis",
        "d_analysis",
        "a_synthesis",
        "d_synthesis",
    ]
    validate(
        features=both.features,
        tensors=both.tensors,
        latents=both.latents,
        graphs=both.networks,
        tables=both.tables,
        encode=both.encode,
        decode=both.decode,
        outputs=both.outputs,
        position=both.quality.input,
    )
