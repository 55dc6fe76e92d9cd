"""The models that `benchmarks.zoo` measures are as wide as CompressAI's own."""

from __future__ import annotations

from benchmarks.compressai_alone import import_compressai
from benchmarks.zoo import PUBLISHED


def test_widths_are_those_that_compressai_publishes() -> None:
    import_compressai()
    from compressai.zoo import image, image_vbr

    published = {name: [*of_quality.values()] for name, of_quality in image.cfgs.items()}
    published |= {name: [widths] for name, widths in image_vbr.cfgs.items()}
    ours = {name: tuple(sizes.values()) for name, sizes in PUBLISHED.items() if name in published}
    assert {name for name in ours if name.endswith("-vbr")} == {
        "bmshj2018-hyperprior-vbr",
        "mbt2018-mean-vbr",
    }
    assert all(widths in published[name] for name, widths in ours.items())
