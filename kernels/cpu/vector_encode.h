// Encoding with a vector of lanes at a time. What one vector does is the instruction set's, `Set`:
//
//   Set::kWidth, Set::Vector            lanes to a vector
//   Set::load, Set::store               of kWidth u32, at any address
//   Set::encode(events, numbers, x, p)  the states after one event of each lane; the words go in
//                                       front of `p`, kWidth of which may be written
//
// A vector has no integer division, so x / freq is estimated in binary32. The quotient is below
// 2^18. Two conversions, one of which may round twice, a division and two products are wrong by
// less than 2^-21 of it together, and the estimate is lowered by 2^-20 of it, so it is at most the
// quotient and by less than 1 smaller: rounded down it is the integer quotient or one less, and
// the remainder shows which.
#pragma once

#include "scalar_encode.h"

namespace fcmrt::cpu {
namespace {

constexpr float kLowered = 1.0f - 1.0f / 1048576.0f;

// As Loops::encode, for kWidth * V lanes.
template <class Set, u32 V>
u8* encode_vectors(const TableView& view, const u32* numbers, u64 count, u32* states, u8* p) {
  constexpr u32 kLanes = Set::kWidth * V;
  // The last symbols, less than a round, come first.
  u64 i = count / kLanes * kLanes;
  p = encode_share<kLanes>(view.entries, numbers + i, count - i, states, p);
  typename Set::Vector x[V];
#pragma GCC unroll 4
  for (u32 v = 0; v < V; ++v) x[v] = Set::load(states + Set::kWidth * v);
  while (i > 0) {
    i -= kLanes;
#pragma GCC unroll 4
    for (u32 w = 0; w < V; ++w) {
      const u32 v = V - 1 - w;
      x[v] = Set::encode(view.events, numbers + i + Set::kWidth * v, x[v], p);
    }
  }
#pragma GCC unroll 4
  for (u32 v = 0; v < V; ++v) Set::store(states + Set::kWidth * v, x[v]);
  return p;
}

}  // namespace
}  // namespace fcmrt::cpu
