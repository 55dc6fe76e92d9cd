"""Which tests need a GPU, and whether there is one."""

from __future__ import annotations

import os

import pytest


def has_gpu() -> bool:
    try:
        import cupy

        return bool(cupy.cuda.runtime.getDeviceCount() > 0)
    except Exception:  # whatever CuPy lacks: without it there is nothing to test on
        return False


NEEDS_GPU = (
    pytest.mark.cuda,
    pytest.mark.skipif(
        os.environ.get("FCMRT_REQUIRE_CUDA") != "1" and not has_gpu(),
        reason="needs CuPy and a CUDA device",
    ),
)
