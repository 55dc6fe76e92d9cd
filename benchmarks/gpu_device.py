"""Which GPU a figure comes from: its name, driver and clocks, as the driver tells them."""

from __future__ import annotations

import subprocess
from typing import Any

_FIELDS = {
    "name": str,
    "driver_version": str,
    "compute_cap": str,
    "memory.total": float,
    "clocks.sm": float,
    "clocks.mem": float,
    "clocks.max.sm": float,
    "clocks.max.mem": float,
    "power.limit": float,
    "temperature.gpu": float,
}
# The driver's units: MiB, MHz, W and degrees Celsius.
_PATIENCE_S = 20


def describe_gpu() -> dict[str, Any] | None:
    """Describe the first GPU, None where there is no driver that tells.

    Returns:
        The fields of `nvidia-smi --query-gpu` by name; None for one that the driver does not know.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    return parse(lines[0]) if lines else None


def parse(line: str) -> dict[str, Any]:
    """Read one line of what the driver told."""
    found: dict[str, Any] = {}
    for (name, kind), text in zip(_FIELDS.items(), line.split(","), strict=True):
        try:
            found[name] = kind(text.strip())
        except ValueError:  # "[N/A]" and the like
            found[name] = None
    return found
