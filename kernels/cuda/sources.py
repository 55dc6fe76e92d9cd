"""The kernels' sources as one text: what a run-time compiler takes, and a cache is keyed by."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_ROOT = Path(__file__).parent
_INCLUDE = re.compile(r'#include "(.+)"\n')

OPTIONS = ("-std=c++17", "--fmad=false")
"""For NVRTC. Contracting a product and a sum would give other symbols than on other machines."""


@functools.cache
def source() -> str:
    """The text of `kernels.cu` with its headers in place, each once."""
    return _inline(_ROOT / "kernels.cu", set())


def _inline(path: Path, seen: set[Path]) -> str:
    path = path.resolve()
    if path in seen:
        return ""
    seen.add(path)
    text = path.read_text(encoding="utf-8").replace("#pragma once\n", "")
    return _INCLUDE.sub(lambda match: _inline(path.parent / match[1], seen), text)
