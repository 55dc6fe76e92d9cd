// The check over integers; docs/format.md, section 6.
#pragma once

#include "platform.h"

namespace fcmrt {

constexpr u32 kGolden = 0x9E3779B9u;

// Finaliser of MurmurHash3 (A. Appleby, public domain): a bijection on 32-bit integers.
FCMRT_HD u32 fmix(u32 h) {
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return h;
}

// Term of element `p` (counted from 0) in the check with salt hash `salted` = fmix(salt + 1).
FCMRT_HD u32 check_term(i32 value, u32 p, u32 salted) {
  return fmix(u32(value) + kGolden * (p + 1) + salted);
}

}  // namespace fcmrt
