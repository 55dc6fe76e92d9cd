// Checksums of packets, also joined from those of parts; docs/format.md, section 7.
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

  FCMRT_MEMBER static constexpr u32 times_x(u32 a) { return a >> 1 ^ (a & 1 ? 0xEDB88320u : 0); }
  FCMRT_MEMBER static u32 after(u32 state, u32 byte, const u32* table) {
    return state >> 8 ^ table[(state ^ byte) & 0xFF];
  }
  FCMRT_MEMBER static u32 of_byte(u32 byte) { return byte; }
  FCMRT_MEMBER static constexpr bool has_power(u32 a, int power) { return a << power & kOne; }
};

// CRC-16/IBM-3740. The polynomial's highest power is in the highest of 16 bits.
struct Crc16 {
  static constexpr u32 kOne = 1;
  static constexpr u32 kByte = 0x100;
  static constexpr u32 kFinal = 0;

  FCMRT_MEMBER static constexpr u32 times_x(u32 a) {
    return (a << 1 ^ (a & 0x8000 ? 0x1021u : 0)) & 0xFFFF;
  }
  FCMRT_MEMBER static u32 after(u32 state, u32 byte, const u32* table) {
    return (state << 8 & 0xFFFF) ^ table[state >> 8 ^ byte];
  }
  FCMRT_MEMBER static u32 of_byte(u32 byte) { return byte << 8; }
  FCMRT_MEMBER static constexpr bool has_power(u32 a, int power) { return a >> power & 1; }
};

constexpr u32 kCrcTable = 256;

// The state after one byte, from 0: an entry of the table that `after` takes.
template <class Crc>
FCMRT_HD u32 crc_entry(u32 byte) {
  u32 state = Crc::of_byte(byte);
  for (int i = 0; i < 8; ++i) state = Crc::times_x(state);
  return state;
}

template <class Crc>
FCMRT_HD constexpr u32 crc_times(u32 a, u32 b) {
  u32 product = 0;
  for (int power = 0; power < 32; ++power) {
    if (Crc::has_power(a, power)) product ^= b;
    b = Crc::times_x(b);
  }
  return product;
}

// x^8, squared again and again: what 1, 2, 4, ... bytes of zeros multiply a state by.
struct CrcPowers {
  u32 of[32];
};

template <class Crc>
FCMRT_HD constexpr CrcPowers crc_powers() {
  CrcPowers powers{};
  u32 power = Crc::kByte;
  for (u32& one : powers.of) {
    one = power;
    power = crc_times<Crc>(power, power);
  }
  return powers;
}

FCMRT_CONSTANT CrcPowers kCrc32Powers = crc_powers<Crc32>();
FCMRT_CONSTANT CrcPowers kCrc16Powers = crc_powers<Crc16>();

FCMRT_HD u32 zeros_power(Crc32, u32 k) { return kCrc32Powers.of[k]; }
FCMRT_HD u32 zeros_power(Crc16, u32 k) { return kCrc16Powers.of[k]; }

// The state after `bytes` more bytes of zeros.
template <class Crc>
FCMRT_HD u32 crc_behind(u32 state, u32 bytes) {
  for (u32 k = 0; bytes > 0; ++k, bytes >>= 1) {
    if (bytes & 1) state = crc_times<Crc>(zeros_power(Crc{}, k), state);
  }
  return state;
}

}  // namespace fcmrt
