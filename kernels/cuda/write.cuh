// The rest of a packet: the fields before its segments, and the checksum; docs/format.md, section 7.
#pragma once

#include "../include/fcmrt/crc.h"
#include "../include/fcmrt/escape.h"
#include "gather.cuh"

namespace fcmrt::cuda {

constexpr u32 kFlagSegments = 0x08;
constexpr u32 kFlagEscapes = 0x10;
constexpr u32 kLongestWithCrc16 = 4095;

// Writes the fields of each packet to its row of `out`; one thread does one packet. `fronts`,
// [packets][front_capacity], has the flags that the coder does not know, and the fields up to the
// segments. begins: [packets], where the segments are to begin.
FCMRT_KERNEL write_heads(const u8* fronts, u32 front_capacity, const u32* front_bytes,
                         const u32* lanes, const u32* segments, u32 packets, u32 max_segments,
                         const Words* word_places, const u32* escape_bytes, u8* out,
                         u64 out_capacity, u32* begins, const i32* status) {
  const u32 packet = blockIdx.x * blockDim.x + threadIdx.x;
  if (packet >= packets || !was_well(status + packet)) return;
  const u8* const front = fronts + u64(packet) * front_capacity;
  u8* const row = out + packet * out_capacity;
  u8* next = row;
  for (u32 i = 0; i < front_bytes[packet]; ++i) *next++ = front[i];
  u32 flags = front[0] | u32(__ffs(lanes[packet]) - 1);
  // All fields are varints, as an escape's code is.
  const u32 count = segments[packet];
  if (count > 1) {
    flags |= kFlagSegments;
    next += put_escape(next, count);
    for (u32 s = 0; s < count - 1; ++s) {
      const Words where = word_places[u64(packet) * max_segments + s];
      next += put_escape(next, where.end - where.next);
    }
  }
  if (escape_bytes[packet] > 0) {
    flags |= kFlagEscapes;
    next += put_escape(next, escape_bytes[packet]);
  }
  row[0] = u8(flags);
  begins[packet] = u32(next - row);
}

// The checksum over bytes that follow the state `start`; every thread takes a part. table and parts
// are shared memory.
template <class Crc>
FCMRT_DEVICE u32 block_crc(const u8* bytes, u32 count, u32 start, u32* table, u32* parts) {
  for (u32 i = threadIdx.x; i < kCrcTable; i += blockDim.x) table[i] = crc_entry<Crc>(i);
  __syncthreads();
  const u32 own = (count + blockDim.x - 1) / blockDim.x;
  const u64 first = u64(own) * threadIdx.x;
  const u32 begin = first < count ? u32(first) : count;
  const u32 end = count - begin < own ? count : begin + own;
  u32 state = threadIdx.x == 0 ? start : 0;
  for (u32 i = begin; i < end; ++i) state = Crc::after(state, bytes[i], table);
  state = warp_xor(crc_behind<Crc>(state, count - end));
  if (lane_of_thread() == 0) parts[warp_of_thread()] = state;
  __syncthreads();
  u32 whole = Crc::kFinal;
  for (u32 warp = 0; warp < blockDim.x / kWarp; ++warp) whole ^= parts[warp];
  return whole;
}

// Puts the checksum behind each packet; one block does one. start16 and start32 are the states after
// the engine's digest. sizes: [packets], of segments and escapes; then of the whole packet.
FCMRT_KERNEL seal_packets(u8* out, u64 out_capacity, const u32* begins, u32* sizes, u32 start16,
                          u32 start32, const i32* status) {
  FCMRT_SHARED(u32, table, kCrcTable);
  FCMRT_SHARED(u32, parts, kMaxWarps);
  const u32 packet = blockIdx.x;
  if (!was_well(status + packet)) return;
  u8* const row = out + packet * out_capacity;
  const u32 count = begins[packet] + sizes[packet];
  if (count + 2 <= kLongestWithCrc16) {
    const u32 checksum = block_crc<Crc16>(row, count, start16, table, parts);
    if (threadIdx.x != 0) return;
    store_u16(row + count, checksum);
    sizes[packet] = count + 2;
  } else {
    const u32 checksum = block_crc<Crc32>(row, count, start32, table, parts);
    if (threadIdx.x != 0) return;
    store_u32(row + count, checksum);
    sizes[packet] = count + 4;
  }
}

}  // namespace fcmrt::cuda
