// Table sets that packets of the fuzz target are coded with.
#pragma once

#include <vector>

#include "choices.h"

namespace fcmrt::fuzz {

// As docs/format.md, section 2: for every table an offset, a size, and size + 1 frequencies, the
// escape's last.
struct TableSet {
  std::vector<i32> offsets;
  std::vector<i32> sizes;
  std::vector<u16> freqs;
  std::vector<u32> firsts;  // where each table's frequencies begin

  u32 count() const { return u32(offsets.size()); }
  void add(i32 offset, const std::vector<u32>& table);
};

// The same sets in every process, the hardest that there are: large, far off, crowded, certain.
std::vector<TableSet> make_fixed_sets();

// One to eleven tables of up to 40 events.
TableSet make_random_set(Choices& choices);

}  // namespace fcmrt::fuzz
