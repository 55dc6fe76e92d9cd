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

// What counting a chunk's elements gives.
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
  Entry entry;
  bool escapes;
};

// The event of a symbol whose table index is in range.
FCMRT_DEVICE Event find_symbol(const Tables& tables, u32 t, i32 symbol) {
  const TableHead range = tables.range(t);
  const u32 number = event_of(range, symbol);
  return {tables.entry(range.first + number), number == range.size};
}

// Bytes of an escape. Callers keep this out of their loops over elements, as escapes are rare.
FCMRT_DEVICE u32 escape_length(const Tables& tables, u32 t, i32 symbol) {
  u8 bytes[kMaxEscapeBytes];
  return u32(put_escape(bytes, escape_code(tables.range(t), symbol)));
}

// Measures each chunk of a step. counted: [packets][chunks], of all steps; this step's begin at
// `first_chunk`. With a skip of 0 it lists the step's events, too, which are in their places then:
// behind those of the steps before, [packets][event_capacity].
FCMRT_KERNEL count_events(const void* indexes, u32 index_bytes, const i32* shifts,
                          const signed char* numbers, u32 table_count, u32 skip,
                          const i32* symbols, const u32* elements, u32 capacity, u32 chunk_size,
                          const u8* table_bytes, u32 word_bytes, Counted* counted, u32 chunks,
                          u32 first_chunk, u32* events, u64 event_capacity, u32 first_event) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Tables tables = view_tables(table_bytes, table_count, word_bytes);
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  u32* const row = events + chunk.packet * event_capacity + first_event;
  u32 coded = 0, bytes = 0, cost = 0;
  u32 mistake = ~kNoMistake;  // the complement of the first one, so that a maximum finds it
  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 t[kPerThread];
    i32 own[kPerThread];
    read_indexes(from, chunk, strip, t);
    read_strip(symbols + chunk.row, strip, own);
    u32 found[kPerThread];
    u32 wrong = 0, escapes = 0;  // bit j for number j
    FCMRT_UNROLL
    for (u32 j = 0; j < kPerThread; ++j) {
      const bool is_wrong = t[j] >= table_count || (t[j] < skip && own[j] != 0);
      wrong |= u32(strip.has(j) && is_wrong) << j;
      const bool is_coded = strip.has(j) && !is_wrong && t[j] >= skip;
      // Looked up even if it is not coded, so that no lookup waits for another.
      const Event event = find_symbol(tables, is_coded ? t[j] : 0, own[j]);
      coded += is_coded;
      cost += is_coded ? event.entry.cost_q8 : 0;
      escapes |= u32(is_coded && event.escapes) << j;
      found[j] = event.entry.event;
    }
    if (skip == 0) write_strip(row, strip, found);
    for (; escapes != 0; escapes &= escapes - 1) {
      const u32 j = __ffs(escapes) - 1;
      bytes += escape_length(tables, pick(t, j), pick(own, j));
    }
    if (wrong == 0) continue;
    const u32 j = __ffs(wrong) - 1, p = strip.first + kWarp * j - chunk.begin;
    const Status why = pick(t, j) >= table_count ? Status::index_out_of_range
                                                 : Status::skipped_nonzero;
    const u32 first = ~(p << kMistakeBits | u32(why));
    if (first > mistake) mistake = first;
  }
  mistake = block_max(mistake, sums);
  coded = block_sum(coded, sums);
  bytes = block_sum(bytes, sums);
  cost = block_sum(cost, sums);
  if (threadIdx.x != 0) return;
  counted[u64(chunk.packet) * chunks + first_chunk + blockIdx.x] = {coded, bytes, cost, ~mistake};
}

// Lists a strip's events from `to` on, the calling warp's together.
FCMRT_DEVICE void list_strip(const Tables& tables, const Strip& strip, const u32 (&t)[kPerThread],
                            const i32 (&symbols)[kPerThread], u32 skip, u32* to) {
  FCMRT_UNROLL
  for (u32 j = 0; j < kPerThread; ++j) {
    const bool is_coded = strip.has(j) && t[j] >= skip;
    const u32 coded = __ballot_sync(kWholeWarp, is_coded);
    const u32 own = __popc(coded & lanes_before(lane_of_thread()));
    const Event event = find_symbol(tables, is_coded ? t[j] : 0, symbols[j]);
    if (is_coded) to[own] = event.entry.event;
    to += __popc(coded);
  }
}

// Writes a strip's escapes from `to` on, the calling warp's together.
FCMRT_DEVICE void write_escapes(const Tables& tables, u32 escapes, const u32 (&t)[kPerThread],
                                const i32 (&symbols)[kPerThread], u8* to) {
  for (u32 j = 0; j < kPerThread; ++j) {
    const bool own = (escapes >> j & 1) != 0;
    if (__ballot_sync(kWholeWarp, own) == 0) continue;
    const u32 index = pick(t, j);
    const i32 symbol = pick(symbols, j);
    const u32 length = own ? escape_length(tables, index, symbol) : 0;
    const u32 end = warp_prefix(length);
    if (own) put_escape(to + end - length, escape_code(tables.range(index), symbol));
    to += __shfl_sync(kWholeWarp, end, kWarp - 1);
  }
}

// Lists a step's events as above where some are skipped, and writes its part of the escape sections,
// [packets][escape_capacity]. Packets that failed are left out.
FCMRT_KERNEL list_events(const void* indexes, u32 index_bytes, const i32* shifts,
                         const signed char* numbers, u32 table_count, u32 skip,
                         const i32* symbols, const u32* elements, u32 capacity, u32 chunk_size,
                         const u8* table_bytes, u32 word_bytes, const Counted* counted, u32 chunks,
                         u32 first_chunk, u32* events, u64 event_capacity, u32 first_event,
                         u8* escapes, u64 escape_capacity, const i32* status) {
  FCMRT_SHARED(u32, sums, kMaxWarps);
  const Indexes from = {indexes, index_bytes, shifts, numbers, table_count};
  const Tables tables = view_tables(table_bytes, table_count, word_bytes);
  const Chunk chunk = chunk_of_block(elements, capacity, chunk_size);
  if (!was_well(status + chunk.packet)) return;
  const Counted* const row = counted + u64(chunk.packet) * chunks;
  const bool has_escapes = row[first_chunk + blockIdx.x].escape_bytes > 0;
  if (skip == 0 && !has_escapes) return;
  u32 earlier_events = 0, earlier_bytes = 0;
  for (u32 i = threadIdx.x; i < first_chunk + blockIdx.x; i += blockDim.x) {
    if (i >= first_chunk) earlier_events += row[i].coded;
    earlier_bytes += row[i].escape_bytes;
  }
  u32* out = events + chunk.packet * event_capacity + first_event + block_sum(earlier_events, sums);
  u8* section = escapes + chunk.packet * escape_capacity + block_sum(earlier_bytes, sums);

  for (u32 tile = chunk.begin; tile < chunk.end; tile += tile_size()) {
    const Strip strip(chunk, tile);
    u32 t[kPerThread];
    i32 own[kPerThread];
    read_indexes(from, chunk, strip, t);
    read_strip(symbols + chunk.row, strip, own);
    if (skip > 0) {
      u32 coded = 0, all;
      FCMRT_UNROLL
      for (u32 j = 0; j < kPerThread; ++j) coded += strip.has(j) && t[j] >= skip;
      const u32 before = __shfl_sync(kWholeWarp, block_prefix(coded, sums, all), 0);
      list_strip(tables, strip, t, own, skip, out + before);
      out += all;
    }
    if (has_escapes) {
      u32 found = 0, bytes = 0, all;  // bit j of `found` for number j
      FCMRT_UNROLL
      for (u32 j = 0; j < kPerThread; ++j) {
        const bool is_coded = strip.has(j) && t[j] >= skip;
        const TableHead range = tables.range(is_coded ? t[j] : 0);
        found |= u32(is_coded && event_of(range, own[j]) == range.size) << j;
      }
      for (u32 rest = found; rest != 0; rest &= rest - 1) {
        const u32 j = __ffs(rest) - 1;
        bytes += escape_length(tables, pick(t, j), pick(own, j));
      }
      const u32 before = __shfl_sync(kWholeWarp, block_prefix(bytes, sums, all), 0);
      write_escapes(tables, found, t, own, section + before);
      section += all;
    }
  }
}

}  // namespace fcmrt::cuda
