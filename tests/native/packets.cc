#include "packets.h"

#include <algorithm>

namespace fcmrt::fuzz {
namespace {

constexpr u32 kLaneCounts[] = {1, 2, 4, 8, 16, 32};
constexpr i32 kMin = -2147483647 - 1;
constexpr i32 kMax = 2147483647;

std::shared_ptr<const Tables> choose_tables(Choices& choices) {
  static const auto fixed = [] {
    std::vector<std::shared_ptr<const Tables>> all;
    for (TableSet& set : make_fixed_sets()) {
      all.push_back(std::make_shared<const Tables>(std::move(set)));
    }
    return all;
  }();
  if (choices.one_in(16)) return std::make_shared<const Tables>(make_random_set(choices));
  // Half of the packets have what real ones have.
  return fixed[choices.one_in(2) ? 0 : choices.below(u32(fixed.size()))];
}

u32 choose_count(Choices& choices, u32 lanes) {
  switch (choices.below(16)) {
    case 0: return choices.below(4);
    case 1:
    case 2:
    case 3:
    case 4: return choices.below(40);
    case 5:
    case 6:
    case 7:
    case 8:  // whole rounds of lanes, and one more or less
      return std::max(1u, lanes * choices.below(8) + choices.below(3)) - 1;
    case 9:
      if (choices.one_in(16)) return choices.between(1000, 5000);
      // Enough for the coder to list events where it needs them, and for threads.
      return choices.one_in(16) ? choices.between(16000, 80000) : 500;
    default: return choices.between(30, 200);
  }
}

// The symbol of the event that a random slot falls into.
i32 likely_symbol(Choices& choices, const TableSet& set, u32 t) {
  const u16* const freqs = set.freqs.data() + set.firsts[t];
  u32 slot = choices.bits() % kProbScale;
  u32 k = 0;
  for (; slot >= freqs[k]; ++k) slot -= freqs[k];
  return set.offsets[t] + i32(k);  // the escape's slots give the first symbol above the range
}

i32 outside(Choices& choices, const TableSet& set, u32 t) {
  const u32 random = choices.bits();
  const i32 begin = set.offsets[t];
  const i32 end = begin + set.sizes[t];
  switch (random % 8) {
    case 0: return kMin;
    case 1: return kMax;
    case 2: return i32(choices.bits());  // hardly ever inside
    case 3: return end + i32(random >> 8 & 0xFFFF);
    case 4: return begin - 1 - i32(random >> 8 & 0xFFFF);
    case 5: return begin - 1;
    default: return end;
  }
}

enum class Kind { likely, uniform, most_frequent, mixed, escapes };

i32 choose_symbol(Choices& choices, Kind kind, const TableSet& set, u32 t) {
  const auto size = u32(set.sizes[t]);
  if (size == 0) return outside(choices, set, t);
  switch (kind) {
    case Kind::uniform: return set.offsets[t] + i32(choices.bits() % size);
    case Kind::most_frequent: {
      const u16* const freqs = set.freqs.data() + set.firsts[t];
      return set.offsets[t] + i32(std::max_element(freqs, freqs + size) - freqs);
    }
    case Kind::mixed:
      if (choices.bits() % 10 == 0) return outside(choices, set, t);
      break;
    case Kind::escapes: return outside(choices, set, t);
    case Kind::likely: break;
  }
  return likely_symbol(choices, set, t);
}

u32 bytes_for(const std::vector<i32>& symbols) {
  u32 bytes = 1;
  for (const i32 symbol : symbols) {
    if (symbol != i32(std::int16_t(symbol))) return 4;
    if (symbol != i32(std::int8_t(symbol))) bytes = 2;
  }
  return bytes;
}

CodeStep make_step(Choices& choices, u32 count) {
  CodeStep step;
  step.tables = choose_tables(choices);
  const TableSet& set = step.tables->set;
  step.wide = set.count() > 256 || choices.one_in(8);
  // A narrow range of tables gives sparse or dense packets, all of them one in between.
  u32 low = 0, high = set.count() - 1;
  if (choices.one_in(3)) {
    low = choices.below(set.count());
    high = std::min(high, low + choices.below(8));
  }
  if (choices.one_in(3)) step.skip = choices.between(low, high + 1);
  if (choices.one_in(64)) step.skip = kMax;
  const auto kind = Kind(choices.of({0, 0, 0, 1, 2, 3, 3, 4}));
  for (u32 p = 0; p < count; ++p) {
    const u32 t = low + choices.bits() % (high - low + 1);
    step.indexes.push_back(u16(t));
    step.symbols.push_back(t < step.skip ? 0 : choose_symbol(choices, kind, set, t));
  }
  step.symbol_bytes = std::max(bytes_for(step.symbols), choices.of({1u, 2u, 4u, 4u}));
  return step;
}

}  // namespace

Plan make_plan(Choices& choices) {
  Plan plan;
  plan.packet.lanes = choices.of(kLaneCounts);
  plan.packet.threads = choices.of({1, 1, 2, 3});
  plan.packet.afresh = choices.one_in(2);
  plan.packet.check = choices.bits();
  plan.segments = choices.one_in(2) ? 1 : choices.between(2, 5);
  if (choices.one_in(64)) plan.segments = choices.of({7u, 31u, 256u});
  const u32 steps = choices.of({0, 1, 1, 1, 1, 2, 2, 2, 6, 11});
  for (u32 k = 0; k < steps; ++k) {
    const u32 count = choose_count(choices, plan.packet.lanes);
    plan.packet.steps.push_back(make_step(choices, steps > 2 ? count / 4 : count));
  }
  return plan;
}

Status spoil_steps(Choices& choices, Packet& packet) {
  if (packet.steps.empty()) return Status::ok;
  CodeStep& step = packet.steps[choices.below(u32(packet.steps.size()))];
  if (step.indexes.empty()) return Status::ok;
  const u32 p = choices.below(u32(step.indexes.size()));
  const u32 most = step.wide ? 0xFFFF : 0xFF;
  if (choices.one_in(2) && step.tables->set.count() <= most) {
    step.indexes[p] = u16(choices.between(step.tables->set.count(), most));
    return Status::index_out_of_range;
  }
  if (step.indexes[p] >= step.skip) return Status::ok;
  step.symbols[p] = choices.of({1, -1, kMin, kMax, 256, 65536});
  step.symbol_bytes = std::max(bytes_for(step.symbols), step.symbol_bytes);
  return Status::skipped_nonzero;
}

}  // namespace fcmrt::fuzz
