// Loops over single values: the check, the quantiser, its inverse and the table indexes.
#pragma once

#include <cstddef>

#include "fcmrt/platform.h"

namespace fcmrt::cpu {

u32 check(const i32* values, std::size_t count, u32 salt);

// `Index` is u8 or u16; every clipped index fits it. `means` may be null.
template <class Index>
void quantize(const float* values, const i32* means, const i32* indexes, std::size_t count,
              u32 mean_bits, u32 step, i32 shift, u32 table_count, u32 skip, i32* symbols,
              Index* clipped);

void dequantize(const i32* symbols, const i32* means, std::size_t count, u32 mean_bits, u32 step,
                float* values);

template <class Index>
void shift_indexes(const i32* indexes, std::size_t count, i32 shift, u32 table_count,
                   Index* clipped);

}  // namespace fcmrt::cpu
