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

template <bool means, class Index>
void quantize_to(const float* values, const Values& how, const Shift& shift, u32 skip,
                 i32* __restrict symbols, Index* __restrict clipped) {
  const float grid = 1.0f / float(1u << how.mean_bits);
  const float inverse = inverse_step(how.step);
  const i32* const mean_of = how.means;
  const i32* const indexes = shift.indexes;
  const i32 by = shift.shift;
  const u32 table_count = shift.table_count;
  for (std::size_t p = 0; p < how.count; ++p) {
    const u32 t = shift_index(indexes[p], by, table_count);
    const i32 symbol = quantize_one(values[p], means ? mean_of[p] : 0, grid, inverse);
    clipped[p] = Index(t);
    symbols[p] = t < skip ? 0 : symbol;
  }
}

template <class Index>
void quantize_as(const float* values, const Values& how, const Shift& shift, u32 skip,
                 i32* symbols, Index* clipped) {
  how.means ? quantize_to<true>(values, how, shift, skip, symbols, clipped)
            : quantize_to<false>(values, how, shift, skip, symbols, clipped);
}

void quantize(const float* values, const Values& how, const Shift& shift, u32 skip, i32* symbols,
              void* clipped, bool wide) {
  wide ? quantize_as(values, how, shift, skip, symbols, static_cast<u16*>(clipped))
       : quantize_as(values, how, shift, skip, symbols, static_cast<u8*>(clipped));
}

template <bool means>
void dequantize_to(const i32* symbols, const Values& how, float* __restrict values) {
  const u32 mean_shift = kMaxMeanBits - how.mean_bits;
  const i32* const mean_of = how.means;
  const u32 step = how.step;
  const std::size_t count = how.count;
  for (std::size_t p = 0; p < count; ++p) {
    values[p] = dequantize_one(symbols[p], means ? mean_of[p] : 0, mean_shift, step);
  }
}

void dequantize(const i32* symbols, const Values& how, float* values) {
  how.means ? dequantize_to<true>(symbols, how, values)
            : dequantize_to<false>(symbols, how, values);
}

template <class Index>
void shift_to(const Shift& shift, std::size_t count, Index* __restrict clipped) {
  const i32* const indexes = shift.indexes;
  const i32 by = shift.shift;
  const u32 table_count = shift.table_count;
  for (std::size_t p = 0; p < count; ++p) {
    clipped[p] = Index(shift_index(indexes[p], by, table_count));
  }
}

void shift_indexes(const Shift& shift, std::size_t count, void* clipped, bool wide) {
  wide ? shift_to(shift, count, static_cast<u16*>(clipped))
       : shift_to(shift, count, static_cast<u8*>(clipped));
}

}  // namespace
}  // namespace fcmrt::cpu
