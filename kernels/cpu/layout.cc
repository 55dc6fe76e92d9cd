#include <algorithm>

#include "coder.h"

namespace fcmrt::cpu {

Layout choose_layout(const Payload& payload, u32 overhead_permille, u32 min_lanes) {
  const u64 allowed = overhead_permille * (payload.cost_q8 >> 11);
  u32 lanes = kMaxLanes;
  while (lanes > 1 && 3000 * u64(lanes) > allowed) lanes /= 2;
  lanes = std::max(lanes, min_lanes);
  if (lanes < kMaxLanes) return {lanes, 1};
  const u64 most = std::max<u64>(1, (payload.largest + 31) / 32);
  return {lanes, u32(std::clamp<u64>(allowed / 128000, 1, std::min<u64>(kMaxSegments, most)))};
}

}  // namespace fcmrt::cpu
