// A packet's status word: 0, or the number of its first failure. Kernels never stop for a failure; what
// a failed packet leaves in the buffers means nothing, and other packets are not affected.
#pragma once

#include "../include/fcmrt/status.h"
#include "device.cuh"

namespace fcmrt::cuda {

// Within one launch a packet can have only one kind of failure here, so the order of calls does not
// matter.
FCMRT_DEVICE void fail(i32* status, Status what) { atomicCAS(status, 0, i32(what)); }

// Whether a packet has not failed so far; other blocks may fail it at the same time. Threads that ask
// about the same packet wait for each other, so one of them should ask for all.
FCMRT_DEVICE bool is_well(i32* status) { return atomicOr(status, 0) == 0; }

// The same, where nobody can fail it at the same time.
FCMRT_DEVICE bool was_well(const i32* status) { return *status == 0; }

}  // namespace fcmrt::cuda
