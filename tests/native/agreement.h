// What must hold between the implementations, whatever a packet is; and what was seen of it.
#pragma once

#include <map>

#include "coder_calls.h"

namespace fcmrt::fuzz {

struct Counts {
  u64 cases = 0;
  u64 encodes = 0;
  u64 refused_encodes = 0;
  u64 packets = 0;   // good or damaged, each decoded by every implementation
  u64 decodes = 0;   // packets times implementations
  u64 accepted = 0;  // packets
  u64 accepted_symbols = 0;
  std::map<Status, u64> refused;  // packets, by what the portable implementation says
};

// Of this process.
Counts& counts();

// Whether two decoders found the same integers, or the same kind of error in the same step.
bool agree(const Decoded& one, const Decoded& other);

// Encodes a packet's symbols with every implementation, fails unless all give the same bytes or the
// same status, and gives what they gave.
Status encode_with_all(const Packet& packet, u32 segments, Payload& out);

// Decodes a packet with every implementation, fails unless all agree, and gives what they found.
Decoded decode_with_all(const Packet& packet);

// Fails unless a decoder found the packet's symbols and check.
void require_decodes_to(const Packet& packet, const Decoded& found);

// Fails unless what was found in a packet encodes to that packet's bytes. This holds for damaged
// packets too: a state has one representation, and an escape one code.
void require_encodes_again(Packet packet, const Decoded& found, const Implementation& how);

}  // namespace fcmrt::fuzz
