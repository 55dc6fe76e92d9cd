// A table set as the kernels read it, in one run of bytes that shared memory can take as a whole.
//
// Heads, events and hints stand one after the other (kernels/cuda/prepared.py writes them). A table's
// 2^14 slots are cut into buckets of equal length; a hint is the number of the event that holds its
// bucket's first slot, and the event of a slot is found from there, by going on. Buckets are as long
// as that takes few steps.
#pragma once

#include "../include/fcmrt/tables.h"
#include "device.cuh"

namespace fcmrt::cuda {

// Read in one load.
struct alignas(16) Head {
  u32 first;   // its first event, among all tables' events
  u32 size;    // events but the escape
  i32 offset;  // symbol of its first event
  u32 hints;   // its first hint << 5, and the binary logarithm of a bucket's length
};
static_assert(sizeof(Head) == 16);

constexpr u32 kBucketBits = 5;

struct Tables {
  const Head* heads;
  const u32* events;  // pack_event
  const u16* hints;
};

FCMRT_DEVICE Tables view_tables(const u8* bytes, u32 table_count, u32 event_count) {
  const u8* const events = bytes + sizeof(Head) * table_count;
  return {reinterpret_cast<const Head*>(bytes), reinterpret_cast<const u32*>(events),
          reinterpret_cast<const u16*>(events + sizeof(u32) * event_count)};
}

// Copies them into shared memory; the whole block must come here. `size` is a multiple of 16.
FCMRT_DEVICE void copy_tables(u8* shared, const u8* bytes, u32 size) {
  const uint4* const from = reinterpret_cast<const uint4*>(bytes);
  uint4* const to = reinterpret_cast<uint4*>(shared);
  for (u32 i = threadIdx.x; i < size / 16; i += blockDim.x) to[i] = from[i];
  __syncthreads();
}

FCMRT_DEVICE u32 event_cum(u32 event) { return event & 0xFFFF; }
FCMRT_DEVICE u32 event_freq(u32 event) { return event >> 16; }

struct Found {
  u32 number;  // within its table
  u32 event;
};

// The event that holds a slot. Ends because frequencies add up to 2^14.
FCMRT_DEVICE Found find_event(const Tables& tables, const Head& head, u32 slot) {
  const u32 bucket = slot >> (head.hints & ((1u << kBucketBits) - 1));
  u32 number = tables.hints[(head.hints >> kBucketBits) + bucket];
  u32 event = tables.events[head.first + number];
  while (slot - event_cum(event) >= event_freq(event)) event = tables.events[head.first + ++number];
  return {number, event};
}

// The range of a table, for escape.h.
FCMRT_DEVICE TableHead range_of(const Head& head) { return {head.first, head.size, head.offset, 0}; }

}  // namespace fcmrt::cuda
