"""L-MSFC v1 at its published widths, on P2 to P5 of a picture of 800 x 1344, with weights drawn.

python -m benchmarks.published_codec FILE [--small]

writes it as an engine. The weights are no codec's; the latent's elements are brought to a deviation
of about 1 and their distributions with them, so that the coder has as much to do as it has with
trained ones, about 2 bits for each element.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from fcmrt.export.engine import write
from fcmrt.export.lmsfc import LMSFC_V1_PUBLISHED
from fcmrt.export.lmsfc_published import PublishedLmsfc
from fcmrt.export.lmsfc_published_engine import deploy_published_lmsfc
from fcmrt.export.lmsfc_v1_state import LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fcmrt import Engine
    from fcmrt.export.deployment import Deployment
    from fcmrt.spec import Size

SIZE, SMALL_SIZE = (200, 336), (64, 64)  # of P2, in cells; the picture's sides are four times these
NAME = "lmsfc-v1-published-random"
_DEVIATION = 1.0  # of the latent, and the one that its distributions are of
_OCTAVES = (-0.4, 1.2)  # around it, of the distributions
_TRIALS = 3  # an attention block comes after the last convolution
_PRIOR_WIDTH = 2.0  # of the prior of z
SMALL = dataclasses.replace(
    LMSFC_V1_PUBLISHED,
    feature_channels=(6, 6, 6, 6),
    width=8,
    latent_channels=8,
    hyper_channels=8,
)


def make(small: bool = False) -> Deployment:
    """Make the codec.

    Args:
        small: A few channels instead of the published ones.
    """
    torch.manual_seed(0)
    config = SMALL if small else LMSFC_V1_PUBLISHED
    codec = PublishedLmsfc(config).eval()
    with torch.no_grad():
        nn.init.constant_(codec.prior.matrices[0], float(np.log(np.expm1(1 / _PRIOR_WIDTH))))
        for matrix in list(codec.prior.matrices)[1:]:
            nn.init.constant_(matrix, float(np.log(np.expm1(1 / matrix.shape[2]))))
        corner = features(small, size=SMALL_SIZE)
        levels = [torch.from_numpy(x)[None] for x in corner.values()]
        last = [m for m in codec.analysis.modules() if isinstance(m, nn.Conv2d)][-1]
        for _ in range(_TRIALS):
            factor = _DEVIATION / float(codec.analysis(*levels).std())
            last.weight.mul_(factor)
        # Deviations come first, and differ from channel to channel; then means, which stay quiet.
        half = config.latent_channels
        head = codec.hyper_synthesis.head
        head.weight.mul_(0.1)
        head.bias.zero_()
        head.bias[:half] = _DEVIATION * 2 ** torch.linspace(*_OCTAVES, half)
    return deploy_published_lmsfc(codec, [f"p{level}" for level in LEVELS])


def features(small: bool = False, size: Size | None = None) -> dict[str, NDArray[np.float32]]:
    """Draw features of one picture: float32 `[C, H, W]` by level, finest first.

    Args:
        small: Of the small codec.
        size: Rows and columns of the finest level; None: the codec's picture.
    """
    rng = np.random.default_rng(0)
    config = SMALL if small else LMSFC_V1_PUBLISHED
    rows, columns = size or (SMALL_SIZE if small else SIZE)
    return {
        f"p{level}": rng.standard_normal(
            (config.feature_channels[k], rows >> k, columns >> k), np.float32
        )
        for k, level in enumerate(LEVELS)
    }


def engine(path: str, small: bool = False) -> Engine:
    """Write the codec as an engine file, and load it."""
    return write(path, make(small), name=NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the engine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published_codec")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--small", action="store_true", help="a few channels, to try it")
    arguments = parser.parse_args(argv)
    made = engine(arguments.file, arguments.small)
    print(f"{arguments.file}: {made.manifest.name}, {made.digest.hex()[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
