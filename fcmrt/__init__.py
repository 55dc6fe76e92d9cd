"""Deployment runtime for learned feature codecs.

    engine = fcmrt.Engine.builtin()
    packet = fcmrt.Encoder(engine).encode(features)
    features = fcmrt.Decoder(engine).decode(packet)

Importing fcmrt loads NumPy and nothing heavier; libraries that run networks load when used.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if importlib.util.find_spec("fcmrt.kernels") is None:
    raise ImportError(
        "this is fcmrt's source folder, which is not a complete package: install it editable "
        "(pip install -e '.[cpu]') to import it here, or (pip install '.[cpu]') from elsewhere"
    )

from . import errors
from .bitstream import Importance, LevelSpec, Rectangle, Regions, StreamHeader
from .config import CodingParams, Limits, RuntimeOptions
from .container import Reader, Writer, open
from .decoder import Decoder
from .encoder import Encoder
from .engine import Engine, EngineLimits
from .exact import Proof
from .manifest import Manifest
from .observe import Recorder, StageTimes
from .onnxgraph import Graph
from .packet import Packet
from .spec import FeatureSpec, TensorSpec
from .tables import CdfTables
from .walk import Integers, Walk

__all__ = [
    "CdfTables",
    "CodingParams",
    "Decoder",
    "Encoder",
    "Engine",
    "EngineLimits",
    "FeatureSpec",
    "Graph",
    "Importance",
    "Integers",
    "LevelSpec",
    "Limits",
    "Manifest",
    "Packet",
    "Proof",
    "Reader",
    "Recorder",
    "Rectangle",
    "Regions",
    "RuntimeOptions",
    "StageTimes",
    "StreamHeader",
    "TensorSpec",
    "Walk",
    "Writer",
    "__version__",
    "errors",
    "open",
]


if TYPE_CHECKING:  # with a function for all names, checkers would take any
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name == "__version__":  # looked up when asked for: reading metadata takes a while
            from importlib import metadata

            return metadata.version("fcmrt")
        raise AttributeError(f"module 'fcmrt' has no attribute {name!r}")
