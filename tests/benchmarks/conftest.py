"""Makes `benchmarks` importable without hiding the installed fcmrt behind the source folder.

And lends it the encoders and decoders of the tests of `ondevice`.
"""

import sys
from pathlib import Path

from tests.ondevice.conftest import _cache, engine, strict_device, there  # noqa: F401

sys.path.append(str(Path(__file__).resolve().parents[2]))
