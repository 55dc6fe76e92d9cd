// Pads and crops maps in the device's memory, and gathers a latent's elements from them.
//
// Values are moved as bits; float16 is converted by integer arithmetic, rounded to nearest even.
#pragma once

#include "elements.cuh"
#include "status.cuh"

namespace fcmrt::cuda {

constexpr u32 kInfinity = 0x7F800000u;
constexpr u32 kCellsPerThread = 4;

// The bits of a float32 with the value of a float16.
FCMRT_DEVICE u32 widened(u32 half) {
  const u32 sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, rest = half & 1023;
  if (exponent == 31) return sign | kInfinity | rest << 13;
  if (exponent > 0) return sign | (exponent + 112) << 23 | rest << 13;
  if (rest == 0) return sign;
  const u32 top = 31 - u32(__clz(int(rest)));  // a subnormal: rest * 2^-24
  return sign | (top + 103) << 23 | (rest << (23 - top) & 0x7FFFFFu);
}

// The bits of the float16 nearest to a float32; what it cannot hold becomes infinity.
FCMRT_DEVICE u32 narrowed(u32 bits) {
  const u32 sign = bits >> 16 & 0x8000u, size = bits & 0x7FFFFFFFu;
  if (size > kInfinity) return sign | 0x7E00u;
  if (size >= 0x477FF000u) return sign | 0x7C00u;  // 65520 and more
  if (size >= 0x38800000u) {                       // 2^-14 and more
    const u32 moved = size - (112u << 23);
    return sign | (moved + 0xFFF + (moved >> 13 & 1)) >> 13;
  }
  const u32 shift = 126 - (size >> 23);  // from 2^-(shift + 24) of a unit to 2^-24
  if (shift > 24) return sign;
  const u32 digits = (size & 0x7FFFFFu) | 0x800000u;
  const u32 whole = digits >> shift, left = digits & ((1u << shift) - 1), half = 1u << (shift - 1);
  return sign | (whole + (left > half || (left == half && (whole & 1))));
}

FCMRT_DEVICE u32 get_float(const void* from, u32 bytes, u64 at) {
  return bytes == 2 ? widened(static_cast<const u16*>(from)[at])
                    : static_cast<const u32*>(from)[at];
}

// What fills cells where a map has none.
enum class Edge : u32 { zero = 0, replicate = 1, reflect = 2 };

// The cell whose value goes to place `at` of an axis of `count` cells; -1: none. For reflection `at` is
// less than `count` cells beyond the ends.
FCMRT_DEVICE i32 cell_at(i32 at, i32 count, Edge edge) {
  if (at >= 0 && at < count) return at;
  if (edge == Edge::zero) return -1;
  if (edge == Edge::replicate) return at < 0 ? 0 : count - 1;
  return at < 0 ? -at : 2 * (count - 1) - at;
}

// Copies planes of float16 or float32 into larger or smaller ones. (top, left) is where a plane's first
// cell goes; negative numbers cut rows or columns off. Planes are contiguous on both sides. findings:
// [packets], set to 1 if the packet's planes in `from` have NaN or infinity; or null.
FCMRT_KERNEL place_planes(const void* from, u32 from_bytes, u32 from_rows, u32 from_columns,
                          void* to, u32 to_bytes, u32 to_rows, u32 to_columns, u64 to_cells,
                          i32 top, i32 left, u32 edge, u32 channels, i32* findings) {
  const u64 first = u64(blockIdx.x) * blockDim.x * kCellsPerThread + threadIdx.x;
  for (u32 k = 0; k < kCellsPerThread; ++k) {
    const u64 at = first + u64(k) * blockDim.x;
    if (at >= to_cells) return;
    const u64 line = at / to_columns;
    const u64 plane = line / to_rows;
    const i32 row = cell_at(i32(line - plane * to_rows) - top, i32(from_rows), Edge(edge));
    const i32 column = cell_at(i32(at - line * to_columns) - left, i32(from_columns), Edge(edge));
    const bool known = row >= 0 && column >= 0;
    const u64 source = (plane * from_rows + u32(row)) * from_columns + u32(column);
    const u32 bits = known ? get_float(from, from_bytes, source) : 0;
    if (findings && (bits & kInfinity) == kInfinity) atomicOr(findings + plane / channels, 1);
    if (to_bytes == 2) {
      static_cast<u16*>(to)[at] = u16(narrowed(bits));
    } else {
      static_cast<u32*>(to)[at] = bits;
    }
  }
}

// Which cells of a plane are a latent's.
enum class Parity : u32 { both = 0, even = 1, odd = 2 };

FCMRT_DEVICE u32 count_cells(u32 cells, Parity parity) {
  return parity == Parity::both ? cells : parity == Parity::even ? (cells + 1) / 2 : cells / 2;
}

// The latent's k-th cell of a plane, row by row. If rows have an odd length, the parity of a cell's
// number is that of the checkerboard; if it is even, one of every two neighbours is the latent's.
FCMRT_DEVICE u32 cell_of(u32 k, u32 columns, Parity parity) {
  if (parity == Parity::both) return k;
  const u32 odd = parity == Parity::odd;
  if (columns % 2 != 0) return 2 * k + odd;
  return 2 * k + ((k / (columns / 2) + odd) & 1);
}

FCMRT_DEVICE bool has_cell(u32 cell, u32 columns, Parity parity) {
  const u32 color = (cell / columns + cell % columns) & 1;
  return parity == Parity::both || color == (parity == Parity::odd);
}

// Gathers a latent's elements, 32 bits each: [packets][channels][cells] to [packets][capacity].
FCMRT_KERNEL gather_elements(const u32* from, u32 channels, u32 cells, u32 columns, u32 first,
                             u32 parity, const u32* elements, u32 capacity, u32 chunk_size,
                             u32* to) {
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  const u32 own = count_cells(cells, Parity(parity));
  const u64 packet = u64(chunk.packet) * channels * cells;
  for (u32 p = chunk.begin + threadIdx.x; p < chunk.end; p += blockDim.x) {
    const u32 channel = p / own;
    const u32 cell = cell_of(p - channel * own, columns, Parity(parity));
    to[chunk.row + p] = from[packet + u64(first + channel) * cells + cell];
  }
}

// Puts a latent's elements back in their places in the source, [packets][channels][cells]; 0 elsewhere.
FCMRT_KERNEL scatter_elements(const u32* from, u32 capacity, u32* to, u32 channels, u32 cells,
                              u32 columns, u32 first, u32 own_channels, u32 parity,
                              u64 to_cells) {
  const u32 own = count_cells(cells, Parity(parity));
  const u64 begin = u64(blockIdx.x) * blockDim.x * kCellsPerThread + threadIdx.x;
  for (u32 k = 0; k < kCellsPerThread; ++k) {
    const u64 at = begin + u64(k) * blockDim.x;
    if (at >= to_cells) return;
    const u64 plane = at / cells;
    const u32 cell = u32(at - plane * cells);
    const u32 packet = u32(plane / channels);
    const u32 channel = u32(plane - u64(packet) * channels) - first;
    // One of every two neighbours of a plane is the latent's, so a cell has half its number there.
    const u32 number = Parity(parity) == Parity::both ? cell : cell / 2;
    const bool taken = channel < own_channels && has_cell(cell, columns, Parity(parity));
    to[at] = taken ? from[u64(packet) * capacity + u64(channel) * own + number] : 0;
  }
}

}  // namespace fcmrt::cuda
