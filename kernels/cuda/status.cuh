// A packet's status word: 0, or the first failure's number. Kernels never stop for a failure; what a
// failed packet leaves in the buffers means nothing, and its neighbours do not notice.
#pragma once

#include "../include/fcmrt/status.h"
#include "device.cuh"

namespace fcmrt::cuda {

// Within one launch only one kind of failure comes here, so the order of the calls does not matter.
FCMRT_DEVICE void fail(i32* status, Status what) { atomicCAS(status, 0, i32(what)); }

// Whether a packet is as yet without failure; other blocks may be failing it meanwhile. Threads that
// ask for one packet wait for each other, so one should ask for many.
FCMRT_DEVICE bool is_well(i32* status) { return atomicOr(status, 0) == 0; }

// The same where nobody fails it meanwhile.
FCMRT_DEVICE bool was_well(const i32* status) { return *status == 0; }

}  // namespace fcmrt::cuda
