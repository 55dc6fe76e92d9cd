// Committed packets, as tests/kernels/test_sanitized.py hands them over.
#pragma once

#include <string>

#include "coder_calls.h"

namespace fcmrt::fuzz {

// Reads a packet and the symbols that it decodes to, if it does. Everything is u32, little-endian:
//
//   lanes, check, words[], segments[], escapes[], number of steps, and for every step
//   offsets[], sizes[], freqs[], skip, indexes[], symbols[]
//
// where each array is its length and then its elements, bytes too.
Packet read_golden(const std::string& path);

// Decodes it with every implementation and gives the status. Where that is ok, fails unless symbols
// and check are those of the file and every implementation encodes to the same bytes.
Status replay(const Packet& packet);

}  // namespace fcmrt::fuzz
