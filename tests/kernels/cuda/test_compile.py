"""Every kernel compiles for every architecture, within its budgets and without spills."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

import pytest

from fcmrt.kernels.cuda import sources

from . import nvrtc

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

REGISTERS = 64  # so that 1024 threads of a multiprocessor's 65536 registers run at a time
STATIC_SHARED_BYTES = 2048

# CuPy puts -ftz=true behind what it is given. Suppressed: constants of the shared headers that no
# kernel uses.
OPTIONS = (*sources.OPTIONS, "-ftz=true", "-diag-suppress=177")

pytestmark = pytest.mark.skipif(
    nvrtc.library() is None and os.environ.get("FCMRT_REQUIRE_NVCC") != "1",
    reason="needs NVRTC: pip install 'fcmrt[nvrtc]'",
)


@functools.cache
def compiler() -> nvrtc.Compiler:
    path = nvrtc.library()
    assert path is not None, "NVRTC is not installed, and FCMRT_REQUIRE_NVCC asks for it"
    return nvrtc.Compiler(path)


def names() -> set[str]:
    return set(re.findall(r"FCMRT_KERNEL (\w+)\(", sources.source()))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_budgets(architecture: int) -> None:
    found = compiler().compile(sources.source(), architecture, OPTIONS)
    assert found.keys() == names()
    for name, use in found.items():
        assert 0 < use.registers <= REGISTERS, name
        assert use.spilled_bytes == use.stack_bytes == 0, name
        assert use.shared_bytes <= STATIC_SHARED_BYTES, name
    assert found["decode_shared"].shared_bytes == 0  # all of it is the tables'


SPILLS = """
extern "C" __global__ void __launch_bounds__(1024, 2) planted(float* x, int n) {
  float kept[64];
  for (int i = 0; i < 64; ++i) kept[i] = x[i * n + threadIdx.x];
  for (int k = 0; k < n; ++k)
    for (int i = 0; i < 64; ++i) kept[i] = kept[i] * kept[(i + 1) % 64] + k;
  for (int i = 0; i < 64; ++i) x[i * n + threadIdx.x] = kept[i];
}
"""


def test_planted_spills_are_seen() -> None:
    use = compiler().compile(SPILLS, 90, OPTIONS)["planted"]
    assert use.spilled_bytes > 0
    assert use.stack_bytes > 0
    assert use.registers == 32


def test_mistakes_and_warnings_fail() -> None:
    for text in (
        'extern "C" __global__ void f(int* x) { x[0] = y; }',
        'extern "C" __global__ void f(int* x) { int unused; x[0] = 1 / 0; }',
    ):
        with pytest.raises(AssertionError, match=r"error|warning"):
            compiler().compile(text, 90, OPTIONS)


def test_one_text_holds_all_headers() -> None:
    text = sources.source()
    assert '#include "' not in text
    assert text.count("struct alignas(8) Head {") == 1
    folder = Path(sources.__file__).parent
    for header in [*folder.glob("*.cuh"), folder / "kernels.cu"]:
        first = header.read_text().partition("\n")[0]
        assert text.count(first) == 1, header.name
