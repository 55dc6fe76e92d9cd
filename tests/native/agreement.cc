#include "agreement.h"

#include "failure.h"

namespace fcmrt::fuzz {
namespace {

// The errors that Python raises are of two kinds: there is too little of a packet, or it is wrong.
bool is_cut_off(Status status) {
  return status == Status::words_exhausted || status == Status::escapes_exhausted;
}

}  // namespace

Counts& counts() {
  static Counts all;
  return all;
}

bool agree(const Decoded& one, const Decoded& other) {
  if (one.status == Status::ok || other.status == Status::ok) {
    return one.status == other.status && one.check == other.check && one.symbols == other.symbols;
  }
  return one.step == other.step && is_cut_off(one.status) == is_cut_off(other.status);
}

Decoded decode_with_all(const Packet& packet) {
  const Arrays arrays(packet);
  const Decoded found = arrays.decode(*implementations().front());
  for (const Implementation* how : implementations()) {
    if (how != implementations().front()) {
      require(agree(found, arrays.decode(*how)), "decoders disagree");
    }
    ++counts().decodes;
  }
  ++counts().packets;
  ++(found.status == Status::ok ? counts().accepted : counts().refused[found.status]);
  return found;
}

Status encode_with_all(const Packet& packet, u32 segments, Payload& out) {
  const Arrays arrays(packet);
  Coded first;
  const Status status =
      arrays.encode(*implementations().front(), segments, packet.check, true, first);
  for (const Implementation* how : implementations()) {
    for (const bool measure : {true, false}) {
      Coded coded;
      require(arrays.encode(*how, segments, packet.check, measure, coded) == status,
              "encoders differ in status");
      require(coded.payload == first.payload, "encoders differ in bytes");
      require(!measure || coded == first, "encoders differ in what they measure");
      ++counts().encodes;
    }
  }
  out = std::move(first.payload);
  return status;
}

void require_decodes_to(const Packet& packet, const Decoded& found) {
  require(found.status == Status::ok, "a good packet was refused");
  require(found.check == packet.found_check(), "a good packet has another check");
  for (std::size_t k = 0; k < packet.steps.size(); ++k) {
    require(found.symbols[k] == packet.steps[k].symbols, "a good packet has other symbols");
  }
}

void require_encodes_again(Packet packet, const Decoded& found, const Implementation& how) {
  packet.check = found.check;
  for (std::size_t k = 0; k < packet.steps.size(); ++k) {
    packet.steps[k].symbols = found.symbols[k];
    counts().accepted_symbols += found.symbols[k].size();
  }
  Coded again;
  const Status status =
      Arrays(packet).encode(how, u32(packet.payload.words.size()), packet.check, false, again);
  ++counts().encodes;
  require(status == Status::ok, "decoded symbols cannot be encoded");
  require(again.payload == packet.payload, "an accepted packet is none that an encoder makes");
}

}  // namespace fcmrt::fuzz
