// Memory that calls leave to the next: after the first few packets of a size, coding allocates
// nothing and touches no page for the first time.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "places.h"
#include "pool.h"

namespace fcmrt::cpu {

// An escape whose value is yet to be read.
struct Escape {
  u32 place;  // number of the element
  u32 table;
};

// What measuring one part of a step has found.
struct Measured {
  Status status;
  u64 cost_q8;
  u64 coded;
};

// A segment's states and words.
struct CodedSegment {
  const u8* begin;
  const u8* end;
};

// What one worker needs for one task.
struct Bench {
  Scratch<u16> tables;
  Scratch<u16> masks;
  Scratch<i32> coded;
  Scratch<u32> numbers;
};

struct Workspace {
  Bench benches[kMaxThreads];

  // ---- decoding
  std::vector<Segment> segments;
  std::vector<Escape> escapes[kMaxSegments];  // of each task

  // ---- encoding
  std::vector<Measured> measured;
  std::vector<Scratch<u32>> numbers;  // of each step, where they are kept, and how many
  std::vector<u64> counts;
  std::vector<Places> places;
  Scratch<u8> words;                // of all segments,
  std::vector<std::size_t> rooms;   // which have their rooms here
  CodedSegment coded[kMaxSegments];
  std::vector<u8> escape_bytes[kMaxSegments];
  std::vector<std::size_t> escape_ends;  // in there, of each segment's steps
  std::vector<u8> section;

  // ---- both: coded elements before each block of a step
  std::vector<Scratch<u32>> before;

  std::size_t bytes() const;
};

// Takes a workspace from those that lie ready, or makes one.
struct ReturnWorkspace {
  void operator()(Workspace* workspace) const;
};
using BorrowedWorkspace = std::unique_ptr<Workspace, ReturnWorkspace>;
BorrowedWorkspace borrow_workspace();

}  // namespace fcmrt::cpu
