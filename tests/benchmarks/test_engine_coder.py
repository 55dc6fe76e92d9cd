"""An engine as a system to measure."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from benchmarks.engine_coder import check_levels, engine_systems
from benchmarks.entropy import ideal_bits
from benchmarks.parent import float_parent
from fcmrt.errors import ConfigError
from fcmrt.tasks.task import MOVENET, NANODET


def test_every_quality_level_is_an_operating_point() -> None:
    engine = fcmrt.Engine.builtin()
    (system,) = engine_systems([engine])
    assert system.name == engine.manifest.name
    last = len(engine.manifest.quality.levels)
    assert [coder.label for coder in system.coders] == list(range(1, last + 1))
    assert [coder.label for coder in system.few] == [1, (last + 1) // 2, last]
    rng = np.random.default_rng(0)
    features = {
        name: rng.normal(0, 1, shape).astype(np.float32)
        for name, shape in zip(NANODET.feature_names, NANODET.feature_shapes(), strict=True)
    }
    sizes = []
    for coder in system.few:
        size, decoded = coder.round_trip(features)
        assert size == len(coder.encode(features))
        assert {name: level.shape for name, level in decoded.items()} == {
            name: level.shape for name, level in features.items()
        }
        figures = coder.figures()  # type: ignore[attr-defined]
        assert figures["step"] == engine.manifest.quality.shift(coder.label)
        assert figures["ideal_bytes"] <= size
        integers = fcmrt.Decoder(engine).integers(coder.encode(features)).values()
        assert figures["ideal_bytes"] == pytest.approx(ideal_bits(engine, integers) / 8)
        assert figures["overhead_ok"] is True
        sizes.append(size)
    assert sizes == sorted(sizes)


def test_engines_for_other_levels_are_refused() -> None:
    engine = fcmrt.Engine.builtin()
    check_levels(engine, NANODET)
    with pytest.raises(ConfigError, match="'movenet'"):
        check_levels(engine, MOVENET)


def test_engines_of_one_name_are_told_apart() -> None:
    engine = fcmrt.Engine.builtin()
    other = float_parent(engine)
    assert other.manifest.name == engine.manifest.name
    names = [system.codec for system in engine_systems([engine, other])]
    assert names == [f"{engine.manifest.name}@{one.digest_hex[:8]}" for one in (engine, other)]
    assert names[0] != names[1]
