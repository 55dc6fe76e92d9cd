// A packet's encoder and decoder around the loops. Nothing here knows of Python; every pointer
// comes with a length.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "prepared.h"
#include "symbols.h"
#include "workspace.h"

namespace fcmrt::cpu {

// How the work is done: with which loops, and on how many threads. Bytes do not depend on it.
struct How {
  const Loops& loops;
  u32 threads;
};

// A code step on the encoder's side; arrays are borrowed.
struct Step {
  Symbols symbols;
  Indexes indexes;  // as many as symbols
  std::shared_ptr<const Prepared> tables;
  u32 skip;
};

// What choosing lanes and segments needs to know of a packet.
struct Payload {
  u64 cost_q8;  // bits times 256
  u64 largest;  // coded symbols of the largest step
};

// How a packet is laid out; lanes are a power of two up to kMaxLanes, segments up to kMaxSegments.
struct Layout {
  u32 lanes;
  u32 segments;
};

// docs/format.md, section 5.
Layout choose_layout(const Payload& payload, u32 overhead_permille, u32 min_lanes);

// Encodes one packet. Borrows the steps; the results lie in its workspace for as long as it lives.
class Encoder {
 public:
  Encoder(const How& how, std::span<const Step> steps);

  Status measure(Payload& out);
  Status encode(Layout layout, u32 check);

  // The segments' bytes, one segment after the other, each its states and words.
  std::span<const u8> segment(u32 s) const { return {work_->coded[s].begin, work_->coded[s].end}; }
  std::span<const u8> escapes() const { return work_->section; }
  u32 segments() const { return layout_.segments; }
  u32 words(u32 s) const { return u32(segment(s).size() - 4 * layout_.lanes) / 2; }
  std::size_t segment_bytes() const;
  // To room for segment_bytes().
  void copy_segments(u8* out) const;

 private:
  Status list_all();
  Status measure_chunks(Payload& out);
  u64 share(std::size_t k, u32 s) const;
  Status list_share(std::size_t k, u32 s, Bench& bench, const u32*& numbers, u64& count);
  Status encode_segment(u32 s, u32 check, Bench& bench);
  void gather_escapes();

  How how_;
  std::span<const Step> steps_;
  BorrowedWorkspace work_;
  bool small_;           // few enough elements to list once and keep
  bool listed_ = false;  // they were
  Layout layout_{};
};

// Decodes one packet, step by step. Borrows the bytes it was given. After a status other than ok
// every call returns that status again.
class Decoder {
 public:
  // `lanes` as in Layout; `word_counts` has 1 to kMaxSegments entries.
  Decoder(const How& how, std::span<const u8> segments, std::span<const u32> word_counts,
          std::span<const u8> escapes, u32 lanes);

  // Writes one symbol for every index to `out`, which has room for as many.
  Status step(Indexes indexes, const Prepared& tables, u32 skip, OutSymbols out);

  // Compares ends and seeds; `check` is the 32-bit check, or its 16-bit fold for one lane.
  Status finish(u32& check);

  Status status() const { return status_; }

 private:
  struct Call;

  Status fail(Status status) { return status_ = status; }
  Status run_task(Call& call, u32 task, Bench& bench);
  Status fill_escapes(Call& call, u32 tasks);

  How how_;
  BorrowedWorkspace work_;
  const u8* escape_next_;
  const u8* escape_end_;
  u32 lanes_;
  Status status_ = Status::ok;
};

}  // namespace fcmrt::cpu
