// From symbols to events, for the encoder: two launches, count and list, as in select.cuh.
//
// An event is all that coding needs of a symbol (tables.cuh), so the encoder itself knows nothing of
// tables, and one launch of it takes all steps of all packets.
#pragma once

#include "../include/fcmrt/escape.h"
#include "elements.cuh"
#include "status.cuh"
#include "tables.cuh"

namespace fcmrt::cuda {

// What a chunk's elements come to.
struct Counted {
  u32 coded;
  u32 escape_bytes;
  u32 cost_q8;
  u32 mistake;  // the first element that cannot be coded << kMistakeBits, and why; or kNoMistake
};
static_assert(sizeof(Counted) == 16);

constexpr u32 kMistakeBits = 4;
constexpr u32 kNoMistake = 0xFFFFFFFFu;

struct Event {
  bool coded;
  u32 event;
  u32 escape_bytes;
};

// The event of a symbol whose table index is in range.
FCMRT_DEVICE Event find_symbol(const Tables& tables, u32 t, u32 skip, i32 symbol) {
  if (t < skip) return {false, 0, 0};
  const TableHead range = tables.ranges[t];
  const u32 number = event_of(range, symbol);
  const u32 event = tables.words[range.first + number];
  if (number < range.size) return {true, event, 0};
  u8 bytes[kMaxEscapeBytes];
  return {true, event, u32(put_escape(bytes, escape_code(range, symbol)))};
}

// Measures each chunk of a step. counted: [packets][chunks], of all steps; this step's begin at
// `first_chunk`. costs: of each frequency, 14 * 256 - log2_q8.
FCMRT_KERNEL count_events(const void* indexes, u32 index_bytes, const i32* shifts,
                          const signed char* numbers, u32 table_count, u32 skip,
                          const i32* symbols, const u32* elements, u32 capacity, u32 chunk_size,
                          const u8* table_bytes, const u16* costs,
                          Counted* counted, u32 chunks, u32 first_chunk) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Tables tables = view_tables(table_bytes, table_count);
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  u32 coded = 0, bytes = 0, cost = 0;
  u32 mistake = ~kNoMistake;  // the complement of the first one, so that a maximum finds it
  for (u32 p = chunk.begin + threadIdx.x; p < chunk.end; p += blockDim.x) {
    const u32 t = index_at(from, chunk.packet, chunk.row + p);
    const i32 symbol = symbols[chunk.row + p];
    const Status wrong = t >= table_count           ? Status::index_out_of_range
                         : t < skip && symbol != 0 ? Status::skipped_nonzero
                                                   : Status::ok;
    if (wrong != Status::ok) {
      const u32 own = ~((p - chunk.begin) << kMistakeBits | u32(wrong));
      if (own > mistake) mistake = own;
      continue;
    }
    const Event event = find_symbol(tables, t, skip, symbol);
    if (!event.coded) continue;
    ++coded;
    bytes += event.escape_bytes;
    cost += costs[event_freq(event.event)];
  }
  mistake = block_max(mistake, sums);
  coded = block_sum(coded, sums);
  bytes = block_sum(bytes, sums);
  cost = block_sum(cost, sums);
  if (threadIdx.x != 0) return;
  counted[u64(chunk.packet) * chunks + first_chunk + blockIdx.x] = {coded, bytes, cost, ~mistake};
}

// Lists a step's events behind those of the steps before, [packets][event_capacity], and writes its
// part of the escape sections, [packets][escape_capacity]. Packets that failed are left out.
FCMRT_KERNEL list_events(const void* indexes, u32 index_bytes, const i32* shifts,
                         const signed char* numbers, u32 table_count, u32 skip,
                         const i32* symbols, const u32* elements, u32 capacity, u32 chunk_size,
                         const u8* table_bytes, const Counted* counted,
                         u32 chunks, u32 first_chunk, u32* events, u64 event_capacity,
                         u32 first_event, u8* escapes, u64 escape_capacity, const i32* status) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Tables tables = view_tables(table_bytes, table_count);
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  if (!was_well(status + chunk.packet)) return;
  const Counted* const row = counted + u64(chunk.packet) * chunks;
  u32 earlier_events = 0, earlier_bytes = 0;
  for (u32 i = threadIdx.x; i < first_chunk + blockIdx.x; i += blockDim.x) {
    if (i >= first_chunk) earlier_events += row[i].coded;
    earlier_bytes += row[i].escape_bytes;
  }
  u32* out = events + chunk.packet * event_capacity + first_event + block_sum(earlier_events, sums);
  u8* section = escapes + chunk.packet * escape_capacity + block_sum(earlier_bytes, sums);

  // Both sums of a tile fit 16 bits: it has at most 1024 threads with 4 elements of 5 bytes each.
  for (u32 tile = chunk.begin; tile < chunk.end; tile += kPerThread * blockDim.x) {
    const u32 first = tile + kPerThread * threadIdx.x;
    Event found[kPerThread];
    u32 t[kPerThread];
    u32 own = 0;
    for (u32 j = 0; j < kPerThread; ++j) {
      found[j] = {};
      if (first + j >= chunk.end) continue;
      t[j] = index_at(from, chunk.packet, chunk.row + first + j);
      found[j] = find_symbol(tables, t[j], skip, symbols[chunk.row + first + j]);
      own += found[j].coded | found[j].escape_bytes << 16;
    }
    u32 all;
    const u32 before = block_prefix(own, sums, all);
    u32* next = out + (before & 0xFFFF);
    u8* byte = section + (before >> 16);
    for (u32 j = 0; j < kPerThread; ++j) {
      if (!found[j].coded) continue;
      *next++ = found[j].event;
      if (found[j].escape_bytes == 0) continue;
      const i32 symbol = symbols[chunk.row + first + j];
      byte += put_escape(byte, escape_code(tables.ranges[t[j]], symbol));
    }
    out += all & 0xFFFF;
    section += all >> 16;
  }
}

}  // namespace fcmrt::cuda
