// The core as the fuzz target calls it. Only this file and its .cc know kernels/cpu.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "coder.h"
#include "fence.h"
#include "table_sets.h"

namespace fcmrt::fuzz {

using Implementation = cpu::Loops;

// All that this processor can run, the portable one first.
const std::vector<const Implementation*>& implementations();

// A table set and what the core made of it.
struct Tables {
  explicit Tables(TableSet made);
  TableSet set;
  std::shared_ptr<const cpu::Prepared> prepared;
};

struct CodeStep {
  std::shared_ptr<const Tables> tables;
  u32 skip = 0;
  bool wide = false;  // 16-bit indexes for the core, else 8-bit
  u32 symbol_bytes = 4;  // 1, 2 or 4: of the core's arrays of symbols, in and out
  std::vector<u16> indexes;
  std::vector<i32> symbols;
};

// What the coder puts into a packet.
struct Payload {
  std::vector<u8> segments;  // one after the other: states, then words
  std::vector<u32> words;
  std::vector<u8> escapes;
  bool operator==(const Payload&) const = default;
};

struct Packet {
  u32 lanes = 1;
  u32 threads = 1;
  bool afresh = true;  // each call with memory of its own, not with what an earlier one left
  u32 check = 0;
  std::vector<CodeStep> steps;
  Payload payload;

  // What a decoder finds of the check.
  u32 found_check() const { return lanes == 1 ? (check ^ check >> 16) & 0xFFFF : check; }
};

struct Coded {
  Payload payload;
  u64 cost_q8 = 0;
  u64 largest = 0;
  bool operator==(const Coded&) const = default;
};

struct Decoded {
  Status status;
  std::size_t step;  // the one that failed; the number of steps if the end did, or nothing
  u32 check;
  std::vector<std::vector<i32>> symbols;  // of every step, if nothing failed
};

// A packet's arrays, each between fences and exactly as long as its core is told, for any number of
// calls.
class Arrays {
 public:
  explicit Arrays(const Packet& packet);

  // Measures first or does not: bytes must not depend on it.
  Status encode(const Implementation& how, u32 segments, u32 check, bool measure, Coded& out) const;
  Decoded decode(const Implementation& how) const;

 private:
  struct Step {
    std::shared_ptr<const Tables> tables;
    u32 skip;
    bool wide;
    Fenced<u8> narrow_indexes;
    Fenced<u16> wide_indexes;
    u32 symbol_bytes;
    Fenced<u8> symbols;

    cpu::Indexes indexes() const;
  };
  std::vector<cpu::Step> views() const;
  cpu::How start(const Implementation& how) const;

  u32 lanes_;
  u32 threads_;
  bool afresh_;
  std::vector<Step> steps_;
  Fenced<u8> segments_;
  Fenced<u32> words_;
  Fenced<u8> escapes_;
};

}  // namespace fcmrt::fuzz
