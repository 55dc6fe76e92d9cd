"""Whole packets on a GPU: features to packets and back, in the device's memory.

See `docs/architecture.md`, "On a GPU". Importing this loads neither CuPy nor a driver.
"""

from .decoding import DeviceDecoder, SteppedPacket
from .delivery import Delivery
from .encoding import DeviceEncoder
from .machine import DeviceMachine, machine_for

__all__ = [
    "Delivery",
    "DeviceDecoder",
    "DeviceEncoder",
    "DeviceMachine",
    "SteppedPacket",
    "machine_for",
]
