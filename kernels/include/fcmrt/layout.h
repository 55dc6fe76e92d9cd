// Choosing lanes and segments; docs/format.md, section 5.
#pragma once

#include "rans.h"

namespace fcmrt {

struct Layout {
  u32 lanes;
  u32 segments;
};

// For a payload in bytes; `largest`: coded symbols of the step that has most of them.
FCMRT_HD Layout choose_layout(u64 payload, u64 largest, u32 overhead_permille, u32 min_lanes) {
  const u64 spent = overhead_permille * payload;
  u32 lanes = kMaxLanes;
  while (lanes > min_lanes && u64(3000) * lanes > spent) lanes /= 2;
  if (lanes < kMaxLanes) return {lanes, 1};
  u64 segments = spent / 128000;
  const u64 blocks = (largest + 31) / 32;
  if (segments > blocks) segments = blocks;
  if (segments > kMaxSegments) segments = kMaxSegments;
  return {lanes, segments < 1 ? 1 : u32(segments)};
}

}  // namespace fcmrt
