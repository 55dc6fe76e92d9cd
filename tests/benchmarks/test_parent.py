"""The float parent is the built-in engine, but for its hyper-synthesis."""

from __future__ import annotations

import numpy as np

import fcmrt
from benchmarks.parent import float_parent
from tests.features import random_features


def test_the_parent_codes_the_same_latents_nearly_alike() -> None:
    exact = fcmrt.Engine.builtin()
    parent = float_parent(exact)
    assert exact.manifest.profile == "exact"
    assert parent.manifest.profile == "same-engine"
    for name in ("analysis", "synthesis"):
        assert parent.graph(name) == exact.graph(name)
    # About as large as real ones: activations beyond those of calibration are clipped.
    features = random_features(exact, (52, 52), scale=0.5)
    ours, theirs = (
        fcmrt.Decoder(engine).integers(fcmrt.Encoder(engine).encode(features))
        for engine in (exact, parent)
    )
    np.testing.assert_array_equal(ours["z"].symbols, theirs["z"].symbols)
    difference = np.abs(ours["y"].means - theirs["y"].means)
    assert difference.mean() < 1
    # Table indexes are bytes, whose difference would wrap around.
    indexes = [side["y"].indexes.astype(np.int32) for side in (ours, theirs)]
    assert np.abs(indexes[0] - indexes[1]).max() <= 2
