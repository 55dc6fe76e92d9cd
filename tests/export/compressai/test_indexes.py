"""Which table an element takes, beside CompressAI's own choice."""

from __future__ import annotations

import torch

from benchmarks.compressai_alone import import_compressai
from fcmrt.export.scale_index import LOG_RATIO, SIGMA_0, ScaleIndex, scale_table


def test_indexes_are_those_that_compressai_builds() -> None:
    """The table next above; from just above a table, a twentieth of the way, it is that one."""
    import_compressai()
    from compressai.entropy_models import GaussianConditional

    conditional = GaussianConditional(scale_table().tolist())
    places = torch.arange(-3, 64)[:, None] + torch.linspace(0.06, 0.99, 20)
    deviations = SIGMA_0 * torch.exp(LOG_RATIO * places)
    found = ScaleIndex()(deviations).round().clamp(max=63).int()
    assert torch.equal(found, conditional.build_indexes(deviations))
    assert found.unique().tolist() == list(range(64))
