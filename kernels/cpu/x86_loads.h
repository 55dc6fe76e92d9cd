// Loads at many places, four lanes at a time, in place of the gather instruction: measured faster
// (Zen 5), and not slowed down by what processors do against gathers leaking data.
#pragma once

#include <immintrin.h>

#include "fcmrt/platform.h"

namespace fcmrt::cpu {
namespace {

template <class Index>
[[gnu::always_inline]] inline __m128i load_four(const u32* base, const Index* at) {
  return _mm_setr_epi32(int(base[at[0]]), int(base[at[1]]), int(base[at[2]]), int(base[at[3]]));
}

// The table entries at four places: the first two in `a`, the others in `b`.
[[gnu::always_inline]] inline void load_entries(const u64* lookups, __m128i at, __m128d& a,
                                                __m128d& b) {
  const double* const from = reinterpret_cast<const double*>(lookups);
  const u64 p01 = u64(_mm_cvtsi128_si64(at));
  const u64 p23 = u64(_mm_extract_epi64(at, 1));
  a = _mm_loadh_pd(_mm_load_sd(from + u32(p01)), from + (p01 >> 32));
  b = _mm_loadh_pd(_mm_load_sd(from + u32(p23)), from + (p23 >> 32));
}

}  // namespace
}  // namespace fcmrt::cpu
