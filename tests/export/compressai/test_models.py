"""Every model of CompressAI's against the engine made of it, trained a little, on 20 pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.compressai_models import planes
from benchmarks.compressai_samples import SIZES
from benchmarks.evaluation_set import Item
from fcmrt import Encoder, Engine, RuntimeOptions
from fcmrt.export import find_family, write
from fcmrt.export.compressai.vbr import hyper_step
from fcmrt.spec import UNIT_STEP
from fcmrt.tables import CdfTables

from .reference import follow, force
from .trained import pictures, trained

MOST_BYTES = 1.005  # of CompressAI's strings
RATE = 5  # of a variable-rate model, in an engine of one rate
ONE_RATE = [name for name in SIZES if not name.endswith("-vbr")]
VARIABLE = [name for name in SIZES if name.endswith("-vbr")]


def export(name: str, model: Any, path: Path, **options: Any) -> Engine:
    deployment = find_family(name)({"state_dict": model.state_dict()}, **options)
    return write(path, deployment, name=name, half_weights=False)


def compare(
    engine: Engine,
    model: Any,
    d: int,
    record: Any,
    items: Sequence[Item] | None = None,
    **options: Any,
) -> None:
    """Holds an engine to its model, step by step and as a whole.

    Args:
        engine: Of the model.
        model: Of CompressAI.
        d: Number of the quality step.
        record: Is told what was counted (`record_property`).
        items: Pictures; None: all.
        options: Of the model's `compress` and `decompress`.
    """
    encoder = Encoder(engine, options=RuntimeOptions(threads=1))
    elements = differ = far = ours = theirs = 0
    for item in pictures() if items is None else items:
        x = planes(item.image)
        walk = encoder.walk(x, step=d)
        reference = follow(model, walk.tensors["x"], **options)
        forced = force(engine, walk.tensors["x"], reference, d)
        assert np.abs(forced.x_hat - reference.x_hat).max() <= 1e-4 * reference.x_hat.max()
        elements, differ, far = elements + forced.elements, differ + forced.differ, far + forced.far
        ours, theirs = ours + len(encoder.code(walk)), theirs + reference.bytes
    record("symbols", elements)
    record("at a tie", differ)
    record("bytes", round(ours / theirs, 4))
    assert far == 0
    assert differ <= 1e-4 * elements
    assert 0 < ours <= MOST_BYTES * theirs


@pytest.mark.parametrize("name", ONE_RATE)
def test_it_is_the_model(name: str, tmp_path: Path, record_property: Any) -> None:
    """Symbols but for ties, the picture, and no more bytes; the symbols before are the model's."""
    model = trained(name)
    # One string with 8 bytes besides its payload: more of a packet's show only in small pictures.
    items = pictures(640) if name.startswith("bmshj2018-factorized") else None
    compare(export(name, model, tmp_path / "model.fcmrt"), model, 0, record_property, items)


@pytest.mark.parametrize("name", VARIABLE)
def test_a_variable_rate_model_is_it_at_all_rates_and_at_one(
    name: str, tmp_path: Path, record_property: Any
) -> None:
    """All rates without quantisation offsets, and one with them."""
    model: Any = trained(name)
    one = export(name, model, tmp_path / "one.fcmrt", rate=RATE)
    compare(one, model, 0, record_property, s=RATE)
    model.no_quantoffset = True
    plain = export(name, model, tmp_path / "plain.fcmrt", rate=RATE, quantisation_offsets=False)
    compare(plain, model, 0, record_property, s=RATE)
    whole = export(name, model, tmp_path / "all.fcmrt", quantisation_offsets=False)
    steps, levels = whole.manifest.steps, whole.manifest.quality.levels
    assert len(levels) == len(model.Gain)
    for d, gain in zip(levels, model.Gain, strict=True):
        width = steps.width(d) / UNIT_STEP
        assert abs(np.log(width * float(gain.detach()))) <= np.log(256 / 0.11) / 63 / 2 + 1e-3
    for d in levels[0], levels[len(levels) // 2], levels[-1]:
        gain = torch.tensor(UNIT_STEP / steps.width(d))
        compare(whole, model, d, record_property, inputscale=gain)


@pytest.mark.parametrize("name", VARIABLE)
def test_a_hyper_latent_with_steps_is_it_at_each_rate(
    name: str, tmp_path: Path, record_property: Any
) -> None:
    """As in the checkpoints that CompressAI publishes: a step of `z` that the gain tells."""
    model: Any = trained(name, vr_entbttlnck=True)
    assert model.entropy_bottleneck.quantiles[:, 0, 1].abs().max() > 1
    steps = []
    for rate, items in (RATE, None), (0, pictures()[:3]):
        gain = model.Gain[rate].detach()
        model.update(force=True, scale=gain)
        engine = export(name, model, tmp_path / f"{rate}.fcmrt", rate=rate)
        compare(engine, model, 0, record_property, items, s=rate)
        same_tables(engine.tables("hyper"), model.entropy_bottleneck)
        steps.append(hyper_step(model, float(gain)))
    assert abs(steps[0] - 1) > 0.1
    assert abs(steps[0] - steps[1]) > 0.1


def same_tables(ours: CdfTables, theirs: Any) -> None:
    """Holds the tables of a prior to those of CompressAI's, which are of 2^-16."""
    offsets, cdfs = theirs._offset.tolist(), theirs._quantized_cdf.numpy()
    for t, (offset, cdf) in enumerate(zip(offsets, cdfs, strict=True)):
        wanted = np.diff(cdf[: int(theirs._cdf_length[t])])[:-1] / 2**16  # without the tail
        found = np.zeros(len(wanted))
        first, size = int(ours.offsets[t]), int(ours.sizes[t])
        low, high = max(first, offset), min(first + size, offset + len(wanted))
        found[low - offset : high - offset] = ours.table(t)[low - first : high - first] / 2**14
        assert np.abs(found - wanted).max() < 0.002
