// The fuzz target of the coder: structure-aware, and differential over the implementations.
//
// Three things must hold whatever the bytes are: nothing is touched that is not the coder's;
// every implementation encodes to the same bytes and decodes to the same integers or the same kind
// of error; and what is accepted is what an encoder makes of these integers, byte by byte.
#include "fuzz_coder.h"

#include "agreement.h"
#include "failure.h"
#include "packets.h"

namespace fcmrt::fuzz {
namespace {

constexpr std::size_t kLarge = 10000;  // elements
constexpr u32 kDamagedPackets = 32;    // of each good one
constexpr u32 kDamagedLarge = 4;       // of each large one
constexpr u32 kMutations = 3;        // at most, of each of them

}  // namespace

void run_case(std::span<const u8> bytes) {
  Choices choices(bytes);
  ++counts().cases;
  auto [good, segments] = make_plan(choices);
  if (choices.one_in(8)) {
    Packet spoilt = good;
    const Status wanted = spoil_steps(choices, spoilt);
    if (wanted != Status::ok) {
      require(encode_with_all(spoilt, segments, spoilt.payload) == wanted,
              "an encoder took what it must refuse");
      ++counts().refused_encodes;
    }
  }
  require(encode_with_all(good, segments, good.payload) == Status::ok,
          "a good packet cannot be encoded");
  require_decodes_to(good, decode_with_all(good));
  std::size_t elements = 0;
  for (const CodeStep& step : good.steps) elements += step.indexes.size();
  const u32 packets = elements < kLarge ? kDamagedPackets : kDamagedLarge;
  for (u32 i = 0; i < packets; ++i) {
    Packet damaged = good;
    for (u32 n = choices.one_in(2) ? 1 : choices.between(1, kMutations); n > 0; --n) {
      mutate(choices, damaged);
    }
    const Decoded found = decode_with_all(damaged);
    if (found.status == Status::ok) {
      const auto& all = implementations();
      require_encodes_again(std::move(damaged), found, *all[i % all.size()]);
    }
  }
}

}  // namespace fcmrt::fuzz

