// What is known of the bytes of one array.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace fcmrt::simt {

enum class Touch : std::uint8_t { none, read, write, atomic };

// An access, as seen from the threads of its launch.
struct Access {
  std::uint64_t block;   // number of the block, over all launches
  std::uint32_t epoch;   // barriers of the block before it
  std::uint32_t clock;   // the lane's own clock
  std::uint16_t thread;  // of the block
  Touch touch;
};

struct Byte {
  std::uint64_t stamp;  // the launch, or for shared memory the block, that the rest is of
  Access write;         // the last one
  Access read;          // the last one
  Access other_read;    // one by another thread than `read`, of the same epoch
  bool written;         // ever, in global memory
};

struct Array {
  const char* begin;
  const char* end;
  std::string name;
  bool writable;
  bool written;  // as a whole, before any launch
  bool shared;
  std::unique_ptr<Byte[]> bytes;  // made when first touched

  bool holds(const char* p, std::uint64_t size) const { return p >= begin && p + size <= end; }
};

}  // namespace fcmrt::simt
