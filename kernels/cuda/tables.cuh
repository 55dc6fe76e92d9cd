// A table set as the kernels read it, in one run of bytes (kernels/cuda/prepared.py writes it).
//
// First come the tables' ranges (TableHead). Then comes what a decoder needs, which is copied to shared
// memory as a whole if it fits: words of four bytes, first the tables' heads, then their events, each
// table's followed by one that holds no slot, and then hints of two bytes, or of four if the set is too
// large for shared memory. A table's 2^14 slots are cut into buckets of equal length; a hint is the
// event that holds its bucket's first slot, and the search for a slot's event starts there. Buckets are
// so short that the search rarely takes more than one step. Last come an encoder's entries: the events
// once more, with their costs.
#pragma once

#include "../include/fcmrt/tables.h"
#include "device.cuh"

namespace fcmrt::cuda {

// Read in one load.
struct alignas(8) Head {
  u32 hints;   // bytes from the first word to its hints << 5, and the binary logarithm of a
               // bucket's length
  i32 offset;  // symbol of an event, less the number of its word
};
static_assert(sizeof(Head) == 8);

constexpr u32 kBucketBits = 5;

struct Entry {
  u32 event;
  u32 cost_q8;  // 14 * 256 - log2_q8 of its frequency
};

struct Tables {
  const uint4* ranges;
  const u32* words;
  const u64* entries;

  // A table's range, whose `first` is the number of an entry; in one load.
  FCMRT_METHOD TableHead range(u32 t) const {
    const uint4 range = ranges[t];
    return {range.x, range.y, i32(range.z), range.w};
  }

  // The same for an entry.
  FCMRT_METHOD Entry entry(u32 number) const {
    const u64 entry = entries[number];
    return {u32(entry), u32(entry >> 32)};
  }
};

FCMRT_DEVICE Tables view_tables(const u8* bytes, u32 table_count, u32 word_bytes) {
  const u8* const words = bytes + sizeof(TableHead) * table_count;
  return {reinterpret_cast<const uint4*>(bytes), reinterpret_cast<const u32*>(words),
          reinterpret_cast<const u64*>(words + word_bytes)};
}

FCMRT_DEVICE const Head* heads_of(const u32* words) { return reinterpret_cast<const Head*>(words); }

// Copies a decoder's words into shared memory; the whole block must come here. `size` is in bytes, a
// multiple of 16.
FCMRT_DEVICE void copy_tables(u8* shared, const u32* words, u32 size) {
  const uint4* const from = reinterpret_cast<const uint4*>(words);
  uint4* const to = reinterpret_cast<uint4*>(shared);
  for (u32 i = threadIdx.x; i < size / 16; i += blockDim.x) to[i] = from[i];
  __syncthreads();
}

// An event, 4 bytes: cum << 16 | whether it is the escape << 15 | freq. As numbers, the events of a
// table are in ascending order.
FCMRT_DEVICE u32 event_cum(u32 event) { return event >> 16; }
FCMRT_DEVICE u32 event_freq(u32 event) { return event & 0x7FFF; }
FCMRT_DEVICE u32 event_escapes(u32 event) { return event >> 15 & 1; }

// Where a slot is: in an event, or behind it.
struct Found {
  u32 at;    // the word of the event
  u32 rest;  // key_of(slot) less that word

  FCMRT_METHOD u32 within() const { return rest >> 16; }  // slots from the event's first one
  FCMRT_METHOD u32 freq() const { return event_freq(~rest); }
  FCMRT_METHOD u32 escapes() const { return event_escapes(~rest); }  // 0 or 1
  FCMRT_METHOD bool behind() const { return within() >= freq(); }
};

// A slot's number, followed by 16 ones: less than the words of all later events.
FCMRT_DEVICE u32 key_of(u32 slot) { return slot << 16 | 0xFFFF; }

// An event that holds a slot, or one before it.
//
// As events are in order, the slot's event is the one with the least difference to its key. A hint's
// event and the one behind it are read together, because nearly always some lane of a warp has to go
// on by one, and all others would wait for it.
template <class Hint>
FCMRT_DEVICE Found find_event(const u32* words, Head head, u32 slot) {
  const u8* const hints = reinterpret_cast<const u8*>(words) + (head.hints >> kBucketBits);
  const u32 bucket = slot >> (head.hints & ((1u << kBucketBits) - 1));
  const u32 at = reinterpret_cast<const Hint*>(hints)[bucket];
  const u32 key = key_of(slot);
  const u32 over = key - words[at], next = key - words[at + 1];  // wraps, if it begins later
  return {at + (next <= key), next < over ? next : over};
}

// Goes on to the event that holds the slot. Ends because frequencies add up to 2^14.
FCMRT_DEVICE Found go_on(const u32* words, Found found, u32 slot) {
  do {
    found.rest = key_of(slot) - words[++found.at];
  } while (found.behind());
  return found;
}

}  // namespace fcmrt::cuda
