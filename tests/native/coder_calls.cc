#include "coder_calls.h"

#include "failure.h"

namespace fcmrt::fuzz {
namespace {

std::shared_ptr<const cpu::Prepared> prepare(const TableSet& set) {
  const Fenced<i32> offsets(set.offsets), sizes(set.sizes);
  const Fenced<u16> freqs(set.freqs);
  const FencedHeap here;
  return cpu::Prepared::make(offsets.data(), sizes.data(), offsets.size(), freqs.data(),
                             freqs.size());
}

}  // namespace

const std::vector<const Implementation*>& implementations() {
  static const auto found = [] {
    std::vector<const Implementation*> all;
    for (const char* name : {"scalar", "avx2", "avx512"}) {
      if (const Implementation* how = cpu::find_loops(name)) all.push_back(how);
    }
    return all;
  }();
  return found;
}

Tables::Tables(TableSet made) : set(std::move(made)), prepared(prepare(set)) {
  require(prepared != nullptr, "a valid table set was refused");
}

Arrays::Arrays(const Packet& packet)
    : lanes_(packet.lanes),
      segments_(packet.payload.segments),
      words_(packet.payload.words),
      escapes_(packet.payload.escapes) {
  steps_.reserve(packet.steps.size());
  for (const CodeStep& step : packet.steps) {
    const std::vector<u8> narrow(step.indexes.begin(), step.indexes.end());
    steps_.push_back({step.tables, step.skip, step.wide, Fenced<u8>(narrow),
                      Fenced<u16>(step.indexes), Fenced<i32>(step.symbols)});
  }
}

cpu::Indexes Arrays::Step::indexes() const {
  if (wide) return {wide_indexes.data(), wide_indexes.size(), true};
  return {narrow_indexes.data(), narrow_indexes.size(), false};
}

std::vector<cpu::Step> Arrays::views() const {
  std::vector<cpu::Step> out;
  for (const Step& step : steps_) {
    out.push_back({step.symbols.data(), step.indexes(), step.tables->prepared, step.skip});
  }
  return out;
}

Cost Arrays::measure(const Implementation& how) const {
  const FencedHeap here;
  cpu::Payload payload;
  const Status status = cpu::measure(how, views(), payload);
  return {status, payload.cost_q8, payload.largest};
}

Status Arrays::encode(const Implementation& how, u32 segments, u32 check, Payload& out) const {
  const FencedHeap here;
  cpu::Coded coded;
  const Status status = cpu::encode(how, views(), lanes_, segments, check, coded);
  if (status != Status::ok) return status;
  out = {};
  for (const std::vector<u8>& segment : coded.segments) {
    out.words.push_back(u32((segment.size() - 4 * lanes_) / 2));
    out.segments.insert(out.segments.end(), segment.begin(), segment.end());
  }
  out.escapes = std::move(coded.escapes);
  return status;
}

Decoded Arrays::decode(const Implementation& how) const {
  const FencedHeap here;
  cpu::Decoder decoder(how, segments_.span(), words_.span(), escapes_.span(), lanes_);
  Decoded out{decoder.status(), 0, 0, {}};
  if (out.status != Status::ok) return out;
  for (const Step& step : steps_) {
    const cpu::Indexes indexes = step.indexes();
    const Fenced<i32> symbols(indexes.count);
    out.status = decoder.step(indexes, *step.tables->prepared, step.skip, symbols.data());
    if (out.status != Status::ok) {
      require(decoder.finish(out.check) == out.status, "a failed decoder forgot its status");
      return out;
    }
    out.symbols.push_back(symbols.copy());
    ++out.step;
  }
  out.status = decoder.finish(out.check);
  return out;
}

}  // namespace fcmrt::fuzz
