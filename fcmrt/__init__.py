"""Deployment runtime for learned feature codecs.

    engine = fcmrt.Engine.builtin()
    packet = fcmrt.Encoder(engine).encode(features)
    features = fcmrt.Decoder(engine).decode(packet)

Importing fcmrt loads NumPy and nothing heavier; libraries that run networks load when used.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("fcmrt.kernels") is None:
    raise ImportError(
        "this is fcmrt's source folder, which is not a complete package: install it editable "
        "(pip install -e '.[cpu]') to import it here, or (pip install '.[cpu]') from elsewhere"
    )

from . import errors
from .bitstream import Importance, Regions, StreamHeader
from .config import CodingParams, Limits, RuntimeOptions
from .container import open
from .decoder import Decoder
from .encoder import Encoder
from .engine import Engine
from .packet import Packet
from .spec import FeatureSpec

__all__ = [
    "CodingParams",
    "Decoder",
    "Encoder",
    "Engine",
    "FeatureSpec",
    "Importance",
    "Limits",
    "Packet",
    "Regions",
    "RuntimeOptions",
    "StreamHeader",
    "__version__",
    "errors",
    "open",
]


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: reading metadata takes a while
        from importlib import metadata

        return metadata.version("fcmrt")
    raise AttributeError(f"module 'fcmrt' has no attribute {name!r}")
