"""The GPU at hand, asked of a driver that is not there."""

from __future__ import annotations

import types

import pytest

from fcmrt.errors import DeviceError
from fcmrt.gpu import Device, first_device


class FakeDriver(types.SimpleNamespace):
    """What of `libcuda` is called, with arguments as ctypes gives them."""

    def cuInit(self, flags):  # noqa: N802
        return self.code

    def cuDeviceGet(self, device, number):  # noqa: N802
        device._obj.value = 7 + number
        return 0

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = 13020
        return 0

    def cuDeviceGetName(self, name, size, device):  # noqa: N802
        assert (size, device.value) == (256, 7)
        name.value = b"NVIDIA H100 80GB HBM3"
        return 0

    def cuDeviceGetAttribute(self, value, number, device):  # noqa: N802
        value._obj.value = {16: 132, 75: 9, 76: 0}[number]
        return 0


def test_device_is_asked_of_the_driver():
    device = first_device(lambda _: FakeDriver(code=0))
    assert device == Device("NVIDIA H100 80GB HBM3", "sm_90", 132, 13020)
    assert str(device) == "NVIDIA H100 80GB HBM3 (sm_90, driver for CUDA 13.2)"


def test_no_driver_or_no_gpu():
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(DeviceError, match=r"no NVIDIA driver .*cannot open shared object"):
        first_device(missing)
    with pytest.raises(DeviceError, match="cuInit with the error 100"):
        first_device(lambda _: FakeDriver(code=100))
