"""Steps of elements, against the rule of `docs/format.md`, section 8, told element by element."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.bitstream import EVEN, Importance, Rectangle, Regions
from fcmrt.elements import elements_of
from fcmrt.errors import ConfigError
from fcmrt.groups import quality_groups
from fcmrt.importance import regions_of
from fcmrt.kernels.api import StepMap
from fcmrt.manifest import Manifest
from fcmrt.spec import Size, StepTable, TensorSpec
from fcmrt.step_maps import StepMaps
from tests.engines import context_parts, factorized_parts, gain_parts, hyperprior_parts
from tests.level_engine import level_parts

BOX = Regions(0, (Rectangle(0, 0, 1, 1, -8),))


def told(
    manifest: Manifest, latent: str, d: int, importance: Importance, padded: Size
) -> npt.NDArray[np.int64]:
    """Step numbers of a latent's elements in coding order, one by one."""
    spec = manifest.latents[latent]
    source = manifest.tensors[spec.source]
    (group,) = (n for n, g in enumerate(quality_groups(manifest)) if latent in g.latents)
    before = quality_groups(manifest)[group].sources[spec.source]
    shape = (source.channels, -(-padded[0] // source.stride), -(-padded[1] // source.stride))
    numbers = np.empty((1, *shape), np.int64)
    for channel, row, column in np.ndindex(*shape):
        step = d + importance.offset(group) + (before + channel < importance.mixed(group))
        step += offset_at(importance.regions, source, row, column, padded)
        numbers[0, channel, row, column] = min(max(step, manifest.steps.first), manifest.steps.last)
    return elements_of(spec, source, padded).take(numbers)


def offset_at(
    regions: Regions | None, source: TensorSpec, row: int, column: int, padded: Size
) -> int:
    """The least offset of all cells of the finest level that a cell of a tensor covers."""
    if regions is None:
        return 0
    side = 1 << regions.block_bits
    found = []
    for y in range(row * source.stride, min((row + 1) * source.stride, padded[0])):
        for x in range(column * source.stride, min((column + 1) * source.stride, padded[1])):
            inside = [
                r.offset
                for r in regions.rectangles
                if r.row <= y // side < r.row + r.rows
                and r.column <= x // side < r.column + r.columns
            ]
            found.append(inside[0] if inside else 0)
    return min(found)


def restrided(manifest: Manifest, strides: dict[int, int]) -> Manifest:
    """The manifest with other strides, which need not go with any network."""
    tensors = {
        name: dataclasses.replace(spec, stride=strides.get(spec.stride, spec.stride))
        for name, spec in manifest.tensors.items()
    }
    return dataclasses.replace(manifest, tensors=tensors)


@given(
    st.sampled_from(["fused", "context", "levels", "odd strides"]),
    st.integers(-8, 16),
    st.lists(st.integers(-12, 12), max_size=3).map(tuple),
    st.lists(st.integers(0, 5), max_size=3).map(tuple),
    st.booleans(),
    st.integers(0, 4),
    st.integers(0, 1 << 32),
)
def test_every_element_has_the_step_that_the_rule_says(
    kind: str,
    d: int,
    offsets: tuple[int, ...],
    mix: tuple[int, ...],
    with_regions: bool,
    bits: int,
    seed: int,
) -> None:
    """F-12."""
    manifest = {
        "fused": hyperprior_parts().manifest,
        "context": context_parts().manifest,
        "levels": level_parts().manifest,
        "odd strides": restrided(level_parts().manifest, {2: 3, 4: 5, 8: 7}),
    }[kind]
    groups = quality_groups(manifest)
    padded = (16, 24) if kind != "odd strides" else (15, 22)
    rng = np.random.default_rng(seed)
    regions = None
    if with_regions:
        cells = np.repeat(rng.choice([0, 0, -8, 5, -255], (4, 1)), padded[1], 1).astype(np.int16)
        cells = np.repeat(cells, -(-padded[0] // 4), 0)[: padded[0]]
        cells[:, : int(rng.integers(0, padded[1]))] = 0
        regions = regions_of(cells, bits)
    importance = Importance(offsets[: len(groups)], mix[: len(groups)], regions)
    maps = StepMaps(manifest, d, importance, padded)
    for group in groups:
        for latent in group.latents:
            wanted = told(manifest, latent, d, importance, padded)
            steps = maps.steps(latent)
            if isinstance(steps, StepMap):
                assert np.array_equal(steps.numbers, wanted)
                assert steps.first == manifest.steps.first
                assert steps.widths.tolist() == list(manifest.steps.values)
            else:
                assert set(wanted.tolist()) == {steps}


def test_one_step_is_no_map() -> None:
    """Latents whose elements agree are quantised as without an importance."""
    manifest = level_parts().manifest
    maps = StepMaps(manifest, 4, Importance((2, -3), (0, 0, 5)), (16, 16))
    assert maps.steps("p3_y_even") == 6
    assert maps.steps("p4_y_odd") == 1
    assert isinstance(maps.steps("p5_y_odd"), StepMap)
    assert maps.rule("p3_y_even") == maps.rule("p3_y_odd") != maps.rule("p4_y_odd")


@pytest.mark.parametrize(
    ("importance", "error"),
    [
        (Importance((0, 0, 0, 1)), "has 4 groups; this engine has p3, p4, p5"),
        (Importance((), (6,)), "6 channels of p3 are mixed; it has 6"),
        (Importance(regions=Regions(0, (Rectangle(0, 15, 1, 2, 1),))), "16 x 16 blocks"),
        (Importance(regions=Regions(3, (Rectangle(1, 1, 2, 1, 1),))), "2 x 2 blocks"),
    ],
)
def test_what_does_not_go_with_the_engine_is_refused(importance: Importance, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        StepMaps(level_parts().manifest, 0, importance, (16, 16))


@pytest.mark.parametrize("parts", [gain_parts, factorized_parts])
def test_engines_without_steps_take_no_importance(parts: Any) -> None:
    with pytest.raises(ConfigError, match="take no step"):
        StepMaps(parts().manifest, 0, Importance(regions=BOX), (16, 16))


def test_step_numbers_have_eight_bits() -> None:
    manifest = hyperprior_parts().manifest
    long = StepTable(-8, tuple(range(1, 140)))
    with pytest.raises(ConfigError, match="-8 to 130"):
        StepMaps(dataclasses.replace(manifest, steps=long), 0, Importance((1,)), (16, 16))


def test_no_memory_is_taken_for_regions_beyond_the_picture() -> None:
    far = Importance(regions=Regions(0, (Rectangle(0, 0, 1 << 16, 1 << 16, 1),)))
    with pytest.raises(ConfigError, match="reaches beyond"):
        StepMaps(level_parts().manifest, 0, far, (16, 16))
    assert not EVEN
