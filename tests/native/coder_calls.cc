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

// Symbols as an array of narrower integers; those that do not fit are cut.
std::vector<u8> narrow(const std::vector<i32>& symbols, u32 bytes) {
  std::vector<u8> out;
  out.reserve(bytes * symbols.size());
  for (const i32 symbol : symbols) {
    for (u32 i = 0; i < bytes; ++i) out.push_back(u8(u32(symbol) >> (8 * i)));
  }
  return out;
}

std::vector<i32> widen(const Fenced<u8>& array, u32 bytes) {
  std::vector<i32> out(array.size() / bytes);
  const u32 unused = 32 - 8 * bytes;
  for (std::size_t p = 0; p < out.size(); ++p) {
    u32 symbol = 0;
    for (u32 i = 0; i < bytes; ++i) symbol |= u32(array.data()[bytes * p + i]) << (8 * i);
    out[p] = i32(symbol << unused) >> unused;
  }
  return out;
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
      threads_(packet.threads),
      afresh_(packet.afresh),
      segments_(packet.payload.segments),
      words_(packet.payload.words),
      escapes_(packet.payload.escapes) {
  steps_.reserve(packet.steps.size());
  for (const CodeStep& step : packet.steps) {
    const std::vector<u8> bytes(step.indexes.begin(), step.indexes.end());
    steps_.push_back({step.tables, step.skip, step.wide, Fenced<u8>(bytes),
                      Fenced<u16>(step.indexes), step.symbol_bytes,
                      Fenced<u8>(narrow(step.symbols, step.symbol_bytes))});
  }
}

cpu::Indexes Arrays::Step::indexes() const {
  if (wide) return {wide_indexes.data(), wide_indexes.size(), true};
  return {narrow_indexes.data(), narrow_indexes.size(), false};
}

std::vector<cpu::Step> Arrays::views() const {
  std::vector<cpu::Step> out;
  for (const Step& step : steps_) {
    out.push_back({{step.symbols.data(), step.symbol_bytes},
                   step.indexes(),
                   step.tables->prepared,
                   step.skip});
  }
  return out;
}

// The core keeps what it worked with. Whatever of it is at hand is taken, and not given back.
cpu::How Arrays::start(const Implementation& how) const {
  if (afresh_) delete cpu::borrow_workspace().release();
  return {how, threads_};
}

Status Arrays::encode(const Implementation& how, u32 segments, u32 check, bool measure,
                      Coded& out) const {
  const FencedHeap here;
  const std::vector<cpu::Step> steps = views();
  cpu::Encoder encoder(start(how), steps);
  cpu::Payload measured{};
  const Status found = measure ? encoder.measure(measured) : Status::ok;
  const Status status = encoder.encode({lanes_, segments}, check);
  require(!measure || found == status, "measuring and encoding differ in status");
  if (status != Status::ok) return status;
  out = {{}, measured.cost_q8, measured.largest};
  for (u32 s = 0; s < segments; ++s) out.payload.words.push_back(encoder.words(s));
  const Fenced<u8> bytes(encoder.segment_bytes());
  encoder.copy_segments(bytes.data());
  out.payload.segments = bytes.copy();
  out.payload.escapes.assign(encoder.escapes().begin(), encoder.escapes().end());
  return status;
}

Decoded Arrays::decode(const Implementation& how) const {
  const FencedHeap here;
  cpu::Decoder decoder(start(how), segments_.span(), words_.span(), escapes_.span(), lanes_);
  Decoded out{decoder.status(), 0, 0, {}};
  if (out.status != Status::ok) return out;
  for (const Step& step : steps_) {
    const cpu::Indexes indexes = step.indexes();
    const Fenced<u8> symbols(step.symbol_bytes * indexes.count);
    out.status = decoder.step(indexes, *step.tables->prepared, step.skip,
                              {symbols.data(), step.symbol_bytes});
    if (out.status != Status::ok) {
      require(decoder.finish(out.check) == out.status, "a failed decoder forgot its status");
      return out;
    }
    out.symbols.push_back(widen(symbols, step.symbol_bytes));
    ++out.step;
  }
  out.status = decoder.finish(out.check);
  return out;
}

}  // namespace fcmrt::fuzz
