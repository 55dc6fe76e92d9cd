"""Groups of latents, as they follow from schedules."""

from __future__ import annotations

from typing import Any

import pytest

from fcmrt.groups import quality_groups
from tests.engines import context_parts, factorized_parts, gain_parts, hyperprior_parts
from tests.level_engine import level_parts


def test_levels_apart_are_groups() -> None:
    groups = quality_groups(level_parts().manifest)
    assert [group.name for group in groups] == ["p3", "p4", "p5"]
    assert groups[1].latents == ("p4_y_even", "p4_y_odd")
    assert groups[1].sources == {"p4_y": 0}
    assert [group.channels for group in groups] == [6, 6, 6]


def test_fused_levels_are_one_group() -> None:
    (group,) = quality_groups(hyperprior_parts().manifest)
    assert (group.name, group.latents, group.channels) == ("p3+p4", ("y",), 12)
    (group,) = quality_groups(context_parts().manifest)
    assert group.latents == ("y0e", "y0o", "y1e", "y1o")
    assert group.sources == {"y": 0}


@pytest.mark.parametrize("parts", [gain_parts, factorized_parts])
def test_latents_without_steps_are_no_group(parts: Any) -> None:
    assert quality_groups(parts().manifest) == ()
