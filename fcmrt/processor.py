"""The processor's properties that results and speed depend on."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

FEATURES = (
    *("sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx512f", "avx512bw", "avx512vl"),
    *("avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "sve"),
)
"""Instruction sets that matter to coder and networks, as Linux names them."""

_WIDTHS = ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
"""Instruction sets that decide in which order floats are summed, the widest first."""


@functools.cache
def processor_listing() -> dict[str, str]:
    """Returns what Linux reports of the first core; nothing elsewhere."""
    lines: dict[str, str] = {}
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            lines.setdefault(key.strip(), value.strip())
    return lines


def processor_features() -> list[str]:
    """Returns which of `FEATURES` the processor has; nothing if the system does not say."""
    lines = processor_listing()
    flags = (lines.get("flags") or lines.get("Features", "")).split()
    return [feature for feature in FEATURES if feature in flags]


def describe_processor() -> str:
    """Returns architecture and widest instruction set, such as `x86-64 avx512f`."""
    machine = platform.machine().replace("_", "-")
    found = processor_features()
    return " ".join([machine, *[width for width in _WIDTHS if width in found][:1]])


def usable_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
