"""The emulator finds what is planted in `planted.cc`, and nothing in kernels that are right."""

from __future__ import annotations

import numpy as np
import pytest

from .emulator import EmulatedDevice, EmulatorError, build

THREADS = 64
SEEDS = range(5)  # whatever the order of the threads

FAULTS = {
    "missing_barrier": ("race: byte .* of values|uninitialised: byte .* of values", 1),
    "missing_second_barrier": ("race: byte .* of values .* no barrier between", 1),
    "missing_warp_barrier": ("race: byte .* of values .* no barrier between", 1),
    "warp_barrier_for_block": ("race: byte .* of values|uninitialised: byte .* of values", 1),
    "half_warp_barrier": ("race: byte .* of values|uninitialised: byte .* of values", 1),
    "blocks_collide": ("race: byte .* of array .* of another block", 2),
    "add_and_read": ("race: byte .* of array", 1),
    "past_global": ("out of bounds: 4 bytes at byte 256 of array .*, which has 256", 1),
    "before_global": ("out of bounds: 4 bytes at byte -4 of array .*, which has 256", 1),
    "past_shared": ("out of bounds: 4 bytes at byte 256 of values, which has 256", 1),
    "past_shared_at_launch": ("out of bounds: 4 bytes at byte .* shared memory .* has 128", 1),
    "unwritten_shared": ("uninitialised: byte 28 of values is read before it is written", 1),
    "unwritten_global": ("uninitialised: byte .* of array", 1),
    "misaligned": ("misaligned: 4 bytes at byte 2 of array", 1),
    "divergent_vote": ("divergence: .* is at a vote, .* has left the kernel", 1),
    "vote_and_shuffle": ("divergence: .* is at a (vote|shuffle), .* at a (vote|shuffle)", 1),
    "two_masks": ("divergence: .*(with another mask|leaves the caller out)", 1),
    "left_out_of_mask": ("divergence: a vote whose mask leaves the caller out", 1),
    "shuffle_from_beside": ("divergence: a shuffle from a lane beside its mask", 1),
    "divergent_barrier": ("divergence: .* is at __syncthreads, .* has left the kernel", 1),
}

RIGHT = {
    "good_barrier": [THREADS - 1 - i for i in range(THREADS)],
    "good_warp_barrier": [i ^ 1 for i in range(THREADS)],
    "good_subnormals": [0] + [1] * (THREADS - 1),
    "good_half_votes": [0xAAAA << (i % 32 // 16 * 16) for i in range(THREADS)],
}


@pytest.fixture(scope="module", params=SEEDS)
def device(request: pytest.FixtureRequest) -> EmulatedDevice:
    return EmulatedDevice(build(), seed=request.param)


def run(device: EmulatedDevice, kernel: str, blocks: int) -> list[int]:
    make = device.empty if kernel == "unwritten_global" else device.zeros
    out = make((THREADS,), np.uint32)
    # One half of what past_shared_at_launch takes.
    shared = 2 * THREADS if kernel == "past_shared_at_launch" else 0
    device.launch(kernel, (blocks, 1, 1), THREADS, out, shared_bytes=shared)
    return out.tolist()


@pytest.mark.parametrize("kernel", FAULTS)
def test_faults_are_found(device: EmulatedDevice, kernel: str) -> None:
    report, blocks = FAULTS[kernel]
    with pytest.raises(EmulatorError, match=f"{kernel}: ({report})"):
        run(device, kernel, blocks)


@pytest.mark.parametrize("kernel", RIGHT)
def test_right_kernels_run(device: EmulatedDevice, kernel: str) -> None:
    assert run(device, kernel, 1) == RIGHT[kernel]


def test_atomics_of_two_blocks(device: EmulatedDevice) -> None:
    out = device.zeros((THREADS,), np.uint32)
    device.launch("blocks_add", (2, 1, 1), THREADS, out)
    assert out.tolist() == [2] * THREADS


def test_a_fault_ends_its_launch_only(device: EmulatedDevice) -> None:
    with pytest.raises(EmulatorError):
        run(device, "divergent_barrier", 1)
    assert run(device, "good_barrier", 1) == RIGHT["good_barrier"]


def test_arguments_are_checked(device: EmulatedDevice) -> None:
    for arguments in ((), (np.uint32(1),), (device.zeros((THREADS,), np.int32),)):
        with pytest.raises(AssertionError, match="good_barrier"):
            device.launch("good_barrier", (1, 1, 1), THREADS, *arguments)
    with pytest.raises(AssertionError, match="no kernel 'nothing'"):
        device.launch("nothing", (1, 1, 1), THREADS)
