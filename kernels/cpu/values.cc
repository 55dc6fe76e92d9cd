#include "values.h"

#include "fcmrt/check.h"
#include "fcmrt/quantize.h"

namespace fcmrt::cpu {

u32 check(const i32* values, std::size_t count, u32 salt) {
  const u32 salted = fmix(salt + 1);
  u32 sum = 0;
  for (std::size_t p = 0; p < count; ++p) sum += check_term(values[p], u32(p), salted);
  return sum;
}

template <class Index>
void quantize(const float* values, const i32* means, const i32* indexes, std::size_t count,
              u32 mean_bits, u32 step, i32 shift, u32 table_count, u32 skip, i32* symbols,
              Index* clipped) {
  shift_indexes(indexes, count, shift, table_count, clipped);
  const float grid = 1.0f / float(1u << mean_bits);
  const float inverse = inverse_step(step);
  for (std::size_t p = 0; p < count; ++p) {
    const i32 symbol = quantize_one(values[p], means ? means[p] : 0, grid, inverse);
    symbols[p] = clipped[p] < skip ? 0 : symbol;
  }
}

void dequantize(const i32* symbols, const i32* means, std::size_t count, u32 mean_bits, u32 step,
                float* values) {
  const u32 mean_shift = kMaxMeanBits - mean_bits;
  for (std::size_t p = 0; p < count; ++p) {
    values[p] = dequantize_one(symbols[p], means ? means[p] : 0, mean_shift, step);
  }
}

template <class Index>
void shift_indexes(const i32* indexes, std::size_t count, i32 shift, u32 table_count,
                   Index* clipped) {
  for (std::size_t p = 0; p < count; ++p) {
    clipped[p] = Index(shift_index(indexes[p], shift, table_count));
  }
}

template void quantize<u8>(const float*, const i32*, const i32*, std::size_t, u32, u32, i32, u32,
                           u32, i32*, u8*);
template void quantize<u16>(const float*, const i32*, const i32*, std::size_t, u32, u32, i32, u32,
                            u32, i32*, u16*);
template void shift_indexes<u8>(const i32*, std::size_t, i32, u32, u8*);
template void shift_indexes<u16>(const i32*, std::size_t, i32, u32, u16*);

}  // namespace fcmrt::cpu
