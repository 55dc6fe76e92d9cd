// What a kernel reports instead of throwing; the host turns it into an error (kernels/checks.py has
// the same numbers).
#pragma once

namespace fcmrt {

enum class Status : int {
  ok = 0,
  words_exhausted = 1,       // a lane needs a word and the segment has none left
  state_too_small = 2,       // a first state below 2^16
  segments_size = 3,         // the segments' bytes are not those that the word counts ask for
  index_out_of_range = 4,    // a table index that the table set does not have
  skipped_nonzero = 5,       // a nonzero symbol where nothing is coded
  escapes_exhausted = 6,     // the escape section ends inside or before a value
  escape_malformed = 7,      // not the shortest varint, or more than five bytes
  escape_out_of_range = 8,   // the value is no 32-bit integer
  words_left = 9,            // words that no lane has read
  escapes_left = 10,         // bytes of the escape section that no escape has read
  seed_nonzero = 11,         // a lane ended in a state that no encoder starts from
  symbol_too_wide = 12,      // a symbol that the output's integers cannot hold
  check_differs = 13,        // the integers are not those that the packet was made of
};

}  // namespace fcmrt
