"""Float entropy-parameter networks as integers carried in floats: the same on every machine.

`convert` turns a network into an `IntegerNetwork`, calibrated on real inputs; `fcmrt.exact.prove`
proves of the graph that it writes that no sum reaches 2^24.
"""

from .convert import convert
from .network import IntegerNetwork
from .precision import ExactInput, Precision
from .scale_index import ScaleIndex

__all__ = ["ExactInput", "IntegerNetwork", "Precision", "ScaleIndex", "convert"]
