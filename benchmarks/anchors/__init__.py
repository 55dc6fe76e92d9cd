"""What a codec is compared with: no model, the standard's way for features, and plain pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..systems import System
from . import uniform
from .features_in_x265 import FeaturesInX265
from .pixels import PixelsInAvif, PixelsInX265

if TYPE_CHECKING:
    from .x265 import Preset

# From hardly any loss to hardly any agreement; 51 is the largest QP that x265 takes.
QPS = (22, 27, 32, 36, 39, 42, 45, 48, 51)
FEW_QPS = (32, 36, 42)  # agreements of .96, .86, .54 for NanoDet, where L-MSFC's are .97, .94, .69
AVIF_QUALITIES = (1, 5, 10, 18, 26, 35, 45, 60, 75, 90)
FEW_AVIF_QUALITIES = (5, 26, 60)


def _features(preset: Preset) -> System:
    return System(
        f"features+x265-{preset}",
        tuple(FeaturesInX265(preset, qp) for qp in QPS),
        tuple(FeaturesInX265(preset, qp) for qp in FEW_QPS),
    )


ANCHORS = {
    system.codec: system
    for system in (
        System(uniform.CODEC, uniform.POINTS, uniform.QUICK_POINTS),
        _features("medium"),
        _features("ultrafast"),
        _features("slow"),
        System(
            "pixels+x265-medium",
            tuple(PixelsInX265("medium", qp) for qp in QPS),
            tuple(PixelsInX265("medium", qp) for qp in FEW_QPS),
            pixels=True,
        ),
        System(
            "pixels+avif",
            tuple(PixelsInAvif(quality) for quality in AVIF_QUALITIES),
            tuple(PixelsInAvif(quality) for quality in FEW_AVIF_QUALITIES),
            pixels=True,
        ),
    )
}
