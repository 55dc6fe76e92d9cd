// The inner loops, once per instruction set.
//
// Every set is a translation unit of its own, compiled with its own flags. Such a unit must not
// define anything that the linker could take for the whole module: no templates or inline functions
// of the standard library, nothing but static functions and its one `Loops`. What it needs from the
// outside comes as plain pointers.
#pragma once

#include <cstddef>

#include "fcmrt/quantize.h"
#include "fcmrt/status.h"
#include "lookup.h"

namespace fcmrt::cpu {

// A decoder's place in one segment, and the segment's share of the step that is being decoded.
struct Segment {
  u32 states[kMaxLanes];
  const u8* next;
  const u8* end;
  const u16* tables;  // of each coded symbol
  u64 count;
  i32* out;  // room for `count`; nothing may be written behind
};

// Table indexes as the caller has them; bytes if the table set has at most 256 tables.
struct Indexes {
  const void* data;
  std::size_t count;
  bool wide;  // 16-bit instead of 8-bit
};

// Elements, in groups of 16, and which of them are coded: bit i of a group's mask is element i.
constexpr u32 kGroup = 16;

// Coded elements of a group; for units that may not use the processor's own instruction.
static inline u32 count_bits(u16 mask) {
  u32 sums = mask - (mask >> 1 & 0x5555u);
  sums = (sums & 0x3333) + (sums >> 2 & 0x3333);
  sums = (sums + (sums >> 4)) & 0x0F0F;
  return (sums + (sums >> 8)) & 0x1F;
}

struct Listed {
  u32 largest;  // of all indexes; 0 if there are none
  u64 coded;
};

// Takes an escape's symbol, for the escape section.
struct EscapeSink {
  void (*put)(void* self, const TableHead& head, i32 symbol);
  void* self;
};

// Step numbers of the elements, and the table that they index.
struct StepMap {
  const std::int8_t* numbers;  // null: one step for all
  const StepTable* table;
};

struct Values {
  std::size_t count;
  const i32* means;  // null: 0
  u32 mean_bits;
  u32 step;  // of all, if there is no map
  StepMap map;
};

// Table indexes that are yet to be shifted and clipped.
struct Shift {
  const void* indexes;
  u32 bytes;  // of one: 1 or 2, unsigned, or 4, signed
  i32 shift;
  const std::int8_t* shifts;  // of each element, instead; null: `shift` for all
  u32 table_count;
};

struct Loops {
  const char* name;

  // ---- decoding

  // Copies the coded elements' table indexes to `tables`, and masks if skip > 0. There is room for
  // all elements, rounded up to whole groups.
  Listed (*list_coded)(Indexes indexes, u32 skip, u16* tables, u16* masks);
  // Decodes the shares of `count` segments. `escaped` becomes whether there are escapes.
  Status (*decode)(const TableView& view, u32 lanes, Segment* segments, u32 count, bool& escaped);
  // Puts coded symbols in their places, 0 elsewhere. A group may be read behind the last symbol.
  void (*spread)(const i32* coded, const u16* masks, std::size_t count, i32* out);

  // ---- encoding

  // Lists the coded elements' events, numbered among all tables' events; room as for list_coded.
  Status (*list_events)(const TableView& view, const i32* symbols, Indexes indexes, u32 skip,
                        u32* numbers, u64& coded, EscapeSink escapes);
  // Codes a share from its last event to its first; words go downwards from `p`, which is returned.
  // There must be room for kEncodeSlack bytes more than the share has words.
  u8* (*encode)(const TableView& view, const u32* numbers, u64 count, u32 lanes, u32* states,
                u8* p);

  // ---- values; `clipped` is u16 if `wide`, else u8, and every clipped index fits it

  u32 (*check)(const i32* values, std::size_t count, u32 salt);
  void (*quantize)(const float* values, const Values& how, const Shift& shift, u32 skip,
                   i32* symbols, void* clipped, bool wide);
  void (*dequantize)(const i32* symbols, const Values& how, float* values);
  void (*shift_indexes)(const Shift& shift, std::size_t count, void* clipped, bool wide);
};

constexpr u32 kEncodeSlack = 64;

extern const Loops kScalarLoops;
#if defined(FCMRT_X86)
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif

// The loops of that name; null if there are none that this processor can run.
const Loops* find_loops(const char* name);

}  // namespace fcmrt::cpu
