"""What is told of the processor."""

from __future__ import annotations

import platform

import pytest

from fcmrt import processor


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    lines: dict[str, str] = {}
    monkeypatch.setattr(processor, "processor_listing", lambda: lines)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return lines


def test_the_widest_instruction_set_is_named(listing: dict[str, str]) -> None:
    listing["flags"] = "fpu sse4_2 avx avx2 fma bmi2"
    assert processor.processor_features() == ["sse4_2", "avx", "fma", "avx2", "bmi2"]
    assert processor.describe_processor() == "x86-64 avx2"
    listing["flags"] += " avx512f"
    assert processor.describe_processor() == "x86-64 avx512f"


def test_other_processors_list_features(
    listing: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    listing["Features"] = "fp asimd asimddp"
    assert processor.describe_processor() == "aarch64 asimd"


def test_nothing_is_invented_where_nothing_is_told(listing: dict[str, str]) -> None:
    assert processor.processor_features() == []
    assert processor.describe_processor() == "x86-64"


def test_there_is_a_core_to_use() -> None:
    assert processor.usable_cores() >= 1
