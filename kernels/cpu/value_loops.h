// Loops over single values: the check, the quantiser, its inverse and the table indexes. Written
// for the compiler's vectoriser, which every instruction set's unit runs for itself.
#pragma once

#include "fcmrt/check.h"
#include "fcmrt/quantize.h"
#include "loops.h"

namespace fcmrt::cpu {
namespace {

u32 check(const i32* values, std::size_t count, u32 salt) {
  const u32 salted = fmix(salt + 1);
  u32 sum = 0;
  // 32-bit places, so that a vector of them is as wide as one of values.
  for (u32 p = 0; p < u32(count); ++p) sum += check_term(values[p], p, salted);
  return sum;
}

// ---- table indexes

template <bool map, class In, class Out>
void clip(const In* indexes, const Shift& how, std::size_t first, std::size_t count,
          Out* __restrict clipped) {
  const std::int8_t* const shifts = map ? how.shifts + first : nullptr;
  const i32 shift = how.shift;
  const u32 table_count = how.table_count;
  indexes += first;
  for (std::size_t p = 0; p < count; ++p) {
    clipped[p] = Out(shift_index(i32(indexes[p]), map ? shifts[p] : shift, table_count));
  }
}

template <class In, class Out>
void clip_from(const In* indexes, const Shift& how, std::size_t first, std::size_t count,
               Out* clipped) {
  how.shifts ? clip<true>(indexes, how, first, count, clipped)
             : clip<false>(indexes, how, first, count, clipped);
}

// Elements [first, first + count) of all; `clipped` is for the first of these.
template <class Out>
void clip_to(const Shift& how, std::size_t first, std::size_t count, Out* clipped) {
  switch (how.bytes) {
    case 1: return clip_from(static_cast<const u8*>(how.indexes), how, first, count, clipped);
    case 2: return clip_from(static_cast<const u16*>(how.indexes), how, first, count, clipped);
    default: return clip_from(static_cast<const i32*>(how.indexes), how, first, count, clipped);
  }
}

void shift_indexes(const Shift& shift, std::size_t count, void* clipped, bool wide) {
  wide ? clip_to(shift, 0, count, static_cast<u16*>(clipped))
       : clip_to(shift, 0, count, static_cast<u8*>(clipped));
}

// ---- quantiser

template <bool means, bool map, class Index>
void quantize_to(const float* values, const Values& how, std::size_t first, std::size_t count,
                 u32 skip, const Index* clipped, i32* __restrict symbols) {
  const float grid = 1.0f / float(1u << how.mean_bits);
  const float inverse = map ? 0.0f : inverse_step(how.step);
  const i32* const mean_of = means ? how.means + first : nullptr;
  const u8* const numbers = map ? reinterpret_cast<const u8*>(how.map.numbers) + first : nullptr;
  const float* const inverses = map ? how.map.table->inverses : nullptr;
  for (std::size_t p = 0; p < count; ++p) {
    const i32 symbol = quantize_one(values[p], means ? mean_of[p] : 0, grid,
                                    map ? inverses[numbers[p]] : inverse);
    symbols[p] = clipped[p] < skip ? 0 : symbol;
  }
}

// One pass over the memory, in blocks that stay in the first-level cache between the two loops.
template <class Index>
void quantize_as(const float* values, const Values& how, const Shift& shift, u32 skip,
                 i32* symbols, Index* clipped) {
  constexpr std::size_t kBlock = 1024;
  const auto quantize = how.means
                            ? (how.map.numbers ? quantize_to<true, true, Index>
                                               : quantize_to<true, false, Index>)
                            : (how.map.numbers ? quantize_to<false, true, Index>
                                               : quantize_to<false, false, Index>);
  for (std::size_t p = 0; p < how.count; p += kBlock) {
    const std::size_t count = how.count - p < kBlock ? how.count - p : kBlock;
    clip_to(shift, p, count, clipped + p);
    quantize(values + p, how, p, count, skip, clipped + p, symbols + p);
  }
}

void quantize(const float* values, const Values& how, const Shift& shift, u32 skip, i32* symbols,
              void* clipped, bool wide) {
  wide ? quantize_as(values, how, shift, skip, symbols, static_cast<u16*>(clipped))
       : quantize_as(values, how, shift, skip, symbols, static_cast<u8*>(clipped));
}

// ---- its inverse

template <bool means, bool map>
void dequantize_to(const i32* symbols, const Values& how, float* __restrict values) {
  const u32 mean_shift = kMaxMeanBits - how.mean_bits;
  const i32* const mean_of = how.means;
  const u8* const numbers = reinterpret_cast<const u8*>(how.map.numbers);
  const u32* const widths = map ? how.map.table->widths : nullptr;
  const u32 step = how.step;
  const std::size_t count = how.count;
  for (std::size_t p = 0; p < count; ++p) {
    values[p] = dequantize_one(symbols[p], means ? mean_of[p] : 0, mean_shift,
                               map ? widths[numbers[p]] : step);
  }
}

void dequantize(const i32* symbols, const Values& how, float* values) {
  if (how.map.numbers) {
    how.means ? dequantize_to<true, true>(symbols, how, values)
              : dequantize_to<false, true>(symbols, how, values);
  } else {
    how.means ? dequantize_to<true, false>(symbols, how, values)
              : dequantize_to<false, false>(symbols, how, values);
  }
}

}  // namespace
}  // namespace fcmrt::cpu
