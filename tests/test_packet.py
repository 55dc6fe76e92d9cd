"""The packet class: bytes with a few fields."""

from __future__ import annotations

import copy
import pickle

import pytest

from fcmrt.packet import Packet


def test_is_bytes_everywhere() -> None:
    packet = Packet(b"abcdef", pts=3, elements=16)
    assert isinstance(packet, bytes)
    assert packet == b"abcdef"
    assert hash(packet) == hash(b"abcdef")
    assert memoryview(packet).nbytes == len(packet) == packet.size == 6
    assert b"".join([packet, b"!"]) == b"abcdef!"


@pytest.mark.parametrize("part", [slice(1, 3), slice(None, None, 2), slice(0, 5)])
def test_slices_are_plain_bytes(part: slice) -> None:
    packet = Packet(b"abcdef", pts=3)
    assert type(packet[part]) is bytes
    assert packet[part] == b"abcdef"[part]


@pytest.mark.parametrize("data", [b"xyz", bytearray(b"xyz"), memoryview(b"xyz")])
def test_is_made_from_anything_like_bytes(data: bytes) -> None:
    assert Packet(data) == b"xyz"


def test_rate_needs_the_number_of_elements() -> None:
    assert Packet(b"abc", elements=12).bits_per_element == 2.0
    assert Packet(b"abc").bits_per_element is None
    assert Packet(b"", elements=0).bits_per_element is None


def test_prints_its_size_and_not_its_bytes() -> None:
    packet = Packet(b"secret" * 100, pts=-7, elements=4800)
    assert repr(packet) == "<fcmrt.Packet 600 bytes, pts -7, 1 bits/element>"
    assert str(packet) == f"{packet}" == repr(packet)
    assert repr(Packet(b"a")) == "<fcmrt.Packet 1 bytes>"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_with_its_fields(protocol: int) -> None:
    packet = Packet(b"abc", pts=5, elements=7)
    again = pickle.loads(pickle.dumps(packet, protocol))
    assert type(again) is Packet
    assert (again, again.pts, again.elements) == (packet, 5, 7)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_copies_with_its_fields(how: object) -> None:
    again = how(Packet(b"abc", pts=5, elements=7))  # type: ignore[operator]
    assert (again, again.pts, again.elements) == (b"abc", 5, 7)
