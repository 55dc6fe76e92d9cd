"""The kernels' sources as one text, which the run-time compiler takes and its cache is keyed by."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_ROOT = Path(__file__).parent
_INCLUDE = re.compile(r'#include "(.+)"\n')

OPTIONS = ("-std=c++17", "--fmad=false")
"""For NVRTC. With fused multiply-add, symbols would differ from those of other machines."""


@functools.cache
def source() -> str:
    """Returns the text of `kernels.cu` with all headers included, each once."""
    return _inline(_ROOT / "kernels.cu", set())


def _inline(path: Path, seen: set[Path]) -> str:
    path = path.resolve()
    if path in seen:
        return ""
    seen.add(path)
    text = path.read_text(encoding="utf-8").replace("#pragma once\n", "")
    return _INCLUDE.sub(lambda match: _inline(path.parent / match[1], seen), text)
