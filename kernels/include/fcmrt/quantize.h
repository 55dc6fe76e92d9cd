// Quantiser and its inverse; docs/format.md, section 8.
//
// The only floating point of the core. Every operation is one IEEE binary32 operation, rounded to
// nearest even: contraction is switched off by an option for host compilers (-ffp-contract=off), and
// by the operations used for CUDA. Nothing here may be compiled with -ffast-math.
#pragma once

#include "platform.h"

namespace fcmrt {

constexpr u32 kMaxMeanBits = 16;
constexpr u32 kMaxStep = 0x7FFFFFFFu;  // so that a value's 64-bit sum cannot overflow

#if defined(__CUDA_ARCH__)
FCMRT_HD float mul_rn(float a, float b) { return __fmul_rn(a, b); }
FCMRT_HD float add_rn(float a, float b) { return __fadd_rn(a, b); }
#else
FCMRT_HD float mul_rn(float a, float b) { return a * b; }
FCMRT_HD float add_rn(float a, float b) { return a + b; }
#endif

// 65536 / step, rounded once to binary32; 1 <= step <= kMaxStep.
//
// The integer quotient has at least 33 bits; with its lowest bit set if there is a remainder, its
// conversion rounds as the exact quotient would.
FCMRT_HD float inverse_step(u32 step) {
  const u64 whole = u64(1) << 63;
  const u64 quotient = whole / step | (whole % step != 0);
  return mul_rn(float(quotient), 1.0f / float(u64(1) << 47));
}

// Nearest integer, ties to even, limited to 32 bits; 0 for what is not a number.
//
// Adding and subtracting 2^23 rounds a magnitude below 2^23; from there on floats are integers.
// Written so, it needs no library call and vectorises everywhere.
FCMRT_HD i32 round_to_i32(float t) {
  const float magnitude = t < 0.0f ? -t : t;
  const float near = add_rn(add_rn(magnitude, 8388608.0f), -8388608.0f);
  const float rounded = magnitude < 8388608.0f ? near : magnitude;
  const float limited = rounded < 2147483648.0f ? rounded : 0.0f;
  const i32 whole = i32(limited);
  const i32 largest = rounded >= 2147483648.0f ? 0x7FFFFFFF : whole;
  // The complement of the largest is the smallest; below it negation is exact.
  const i32 smallest = rounded >= 2147483648.0f ? ~0x7FFFFFFF : -whole;
  return t < 0.0f ? smallest : largest;
}

// The symbol of `value` with mean `mean` in units of `grid` = 2^-g.
FCMRT_HD i32 quantize_one(float value, i32 mean, float grid, float inverse) {
  return round_to_i32(mul_rn(add_rn(value, -mul_rn(float(mean), grid)), inverse));
}

// The value of a symbol: exact in 2^-16 units, then rounded once.
FCMRT_HD float dequantize_one(i32 symbol, i32 mean, u32 mean_shift, u32 step) {
  const i64 fixed = i64(mean) * (i64(1) << mean_shift) + i64(symbol) * i64(step);
  return mul_rn(float(fixed), 1.0f / 65536.0f);
}

// clip(index - shift, 0, count - 1). The difference may need 33 bits; where it is not negative, 32
// unsigned ones hold it.
FCMRT_HD u32 shift_index(i32 index, i32 shift, u32 count) {
  const u32 over = u32(index) - u32(shift);
  const u32 least = over < count ? over : count - 1;
  return index < shift ? 0 : least;
}

// ---- step maps: a step number for each element, 8 bits

constexpr u32 kStepNumbers = 256;

// Widths and inverses by step number, whose 8 bits are read as unsigned, so that none is out of range.
struct StepTable {
  u32 widths[kStepNumbers];
  float inverses[kStepNumbers];
};

// The table of the steps `first` to `first + count - 1`; numbers outside are 0.
FCMRT_HD void fill_steps(StepTable& table, i32 first, const u32* widths, u32 count) {
  for (u32 i = 0; i < kStepNumbers; ++i) {
    table.widths[i] = 0;
    table.inverses[i] = 0.0f;
  }
  for (u32 k = 0; k < count; ++k) {
    const u32 i = u32(first + i32(k)) & (kStepNumbers - 1);
    table.widths[i] = widths[k];
    table.inverses[i] = inverse_step(widths[k]);
  }
}

}  // namespace fcmrt
