// Elements of a code step: their table indexes, and how blocks share them.
//
// Arrays of elements are [packets][capacity]; the first `elements[packet]` of a row are in use. A row is
// cut into chunks, one for each block of a row of the grid; a chunk is a whole number of tiles. Each
// warp takes a run of a tile's elements, and each of its threads every 32nd of these, so that the
// threads of a warp load and store neighbours together.
#pragma once

#include "../include/fcmrt/quantize.h"
#include "device.cuh"

namespace fcmrt::cuda {

struct Indexes {
  const void* data;
  u32 bytes;          // of one: 1 or 2, unsigned, or 4, signed
  const i32* shifts;  // what is subtracted, packet by packet; or
  const signed char* numbers;  // element by element; both null: they are clipped already
  u32 table_count;
};

// What a block works on.
struct Chunk {
  u32 packet;
  u64 row;    // of the packet's first element in the arrays
  u32 begin;  // elements, within the row
  u32 end;
};

FCMRT_DEVICE Chunk chunk_of_block(const u32* elements, u32 capacity, u32 chunk_size) {
  const u32 packet = blockIdx.y;
  const u32 count = elements[packet];
  const u64 begin = u64(blockIdx.x) * chunk_size;
  const u64 end = begin + chunk_size;
  return {packet, u64(packet) * capacity, begin < count ? u32(begin) : count,
          end < count ? u32(end) : count};
}

constexpr u32 kPerThread = 4;  // elements of a tile

FCMRT_DEVICE u32 tile_size() { return kPerThread * blockDim.x; }

// The calling thread's elements of a tile: number j is `first` + 32 j, and exists if 32 j < `left`.
struct Strip {
  u32 first;
  u32 left;

  FCMRT_METHOD Strip(const Chunk& chunk, u32 tile)
      : first(tile + kPerThread * kWarp * warp_of_thread() + lane_of_thread()),
        left(first < chunk.end ? chunk.end - first : 0) {}

  FCMRT_METHOD bool has(u32 j) const { return kWarp * j < left; }
  FCMRT_METHOD bool is_whole() const { return has(kPerThread - 1); }
};

// Number j of a strip's values, for a j that the compiler does not know.
template <class T>
FCMRT_DEVICE T pick(const T (&values)[kPerThread], u32 j) {
  T value = values[0];
  FCMRT_UNROLL
  for (u32 k = 1; k < kPerThread; ++k) value = k == j ? values[k] : value;
  return value;
}

// What `from` has for a strip; 0 where there is no element.
template <class T, class U>
FCMRT_DEVICE void read_strip(const T* from, const Strip& strip, U (&to)[kPerThread]) {
  const T* const own = from + strip.first;
  if (strip.is_whole()) {
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) to[j] = U(own[kWarp * j]);
  } else {
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) to[j] = strip.has(j) ? U(own[kWarp * j]) : U(0);
  }
}

template <class T, class U>
FCMRT_DEVICE void write_strip(T* to, const Strip& strip, const U (&from)[kPerThread]) {
  T* const own = to + strip.first;
  if (strip.is_whole()) {
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) own[kWarp * j] = T(from[j]);
  } else {
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) {
      if (strip.has(j)) own[kWarp * j] = T(from[j]);
    }
  }
}

// The table indexes of a strip. Those that are clipped already may be out of range.
FCMRT_DEVICE void read_indexes(const Indexes& from, const Chunk& chunk, const Strip& strip,
                               u32 (&t)[kPerThread]) {
  if (from.bytes == 1) {
    read_strip(static_cast<const u8*>(from.data) + chunk.row, strip, t);
  } else if (from.bytes == 2) {
    read_strip(static_cast<const u16*>(from.data) + chunk.row, strip, t);
  } else {
    read_strip(static_cast<const i32*>(from.data) + chunk.row, strip, t);
  }
  if (!from.numbers && !from.shifts) return;
  i32 shifts[kPerThread];
  if (from.numbers) {
    read_strip(from.numbers + chunk.row, strip, shifts);
  } else {
    for (u32 j = 0; j < kPerThread; ++j) shifts[j] = from.shifts[chunk.packet];
  }
  FCMRT_UNROLL
  for (u32 j = 0; j < kPerThread; ++j) t[j] = shift_index(i32(t[j]), shifts[j], from.table_count);
}

}  // namespace fcmrt::cuda
