// Checksums of packets, also of parts that are computed apart; docs/format.md, section 7.
//
// A state is a polynomial over the field of two elements; a byte of zeros multiplies it by x^8. So
// the state after two parts is that after the first, times x^8 for each byte of the second, plus that
// of the second alone, which starts from 0.
#pragma once

#include "platform.h"

namespace fcmrt {

// CRC-32 (IEEE 802.3). The polynomial's highest power is in the lowest bit.
struct Crc32 {
  static constexpr u32 kOne = 0x80000000u;
  static constexpr u32 kByte = 0x00800000u;  // x^8
  static constexpr u32 kFinal = 0xFFFFFFFFu;

  FCMRT_MEMBER static u32 times_x(u32 a) { return a >> 1 ^ (a & 1 ? 0xEDB88320u : 0); }
  FCMRT_MEMBER static u32 add_byte(u32 state, u32 byte) { return state ^ byte; }
  FCMRT_MEMBER static bool has_power(u32 a, int power) { return a << power & kOne; }
};

// CRC-16/IBM-3740. The polynomial's highest power is in the highest of 16 bits.
struct Crc16 {
  static constexpr u32 kOne = 1;
  static constexpr u32 kByte = 0x100;
  static constexpr u32 kFinal = 0;

  FCMRT_MEMBER static u32 times_x(u32 a) { return (a << 1 ^ (a & 0x8000 ? 0x1021u : 0)) & 0xFFFF; }
  FCMRT_MEMBER static u32 add_byte(u32 state, u32 byte) { return state ^ byte << 8; }
  FCMRT_MEMBER static bool has_power(u32 a, int power) { return a >> power & 1; }
};

template <class Crc>
FCMRT_HD u32 crc_after(u32 state, u32 byte) {
  state = Crc::add_byte(state, byte);
  for (int i = 0; i < 8; ++i) state = Crc::times_x(state);
  return state;
}

template <class Crc>
FCMRT_HD u32 crc_times(u32 a, u32 b) {
  u32 product = 0;
  for (int power = 0; power < 32; ++power) {
    if (Crc::has_power(a, power)) product ^= b;
    b = Crc::times_x(b);
  }
  return product;
}

// A state, with so many bytes of zeros behind it.
template <class Crc>
FCMRT_HD u32 crc_behind(u32 state, u32 bytes) {
  for (u32 factor = Crc::kByte; bytes > 0; bytes >>= 1) {
    if (bytes & 1) state = crc_times<Crc>(state, factor);
    factor = crc_times<Crc>(factor, factor);
  }
  return state;
}

}  // namespace fcmrt
