// Elements of a code step: their table indexes, and how blocks share them.
//
// Arrays of elements are [packets][capacity]; `elements[packet]` of a row count. A row is cut into
// chunks, one for each block of a column of the grid; a chunk is a whole number of tiles.
#pragma once

#include "../include/fcmrt/quantize.h"
#include "device.cuh"

namespace fcmrt::cuda {

constexpr u32 kPerThread = 4;  // neighbouring elements of a tile that are one thread's

struct Indexes {
  const void* data;
  u32 bytes;          // of one: 1 or 2, unsigned, or 4, signed
  const i32* shifts;  // what is subtracted, packet by packet; or
  const signed char* numbers;  // element by element; both null: they are clipped already
  u32 table_count;
};

// The table index of element `at` of all rows. One that is clipped already may be out of range.
FCMRT_DEVICE u32 index_at(const Indexes& from, u32 packet, u64 at) {
  const i32 raw = from.bytes == 1   ? i32(static_cast<const u8*>(from.data)[at])
                  : from.bytes == 2 ? i32(static_cast<const u16*>(from.data)[at])
                                    : static_cast<const i32*>(from.data)[at];
  if (from.numbers) return shift_index(raw, from.numbers[at], from.table_count);
  if (from.shifts) return shift_index(raw, from.shifts[packet], from.table_count);
  return u32(raw);
}

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

}  // namespace fcmrt::cuda
