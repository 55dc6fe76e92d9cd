#include "memory.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "scheduler.h"
#include "shadow.h"

// Ends of this library's own constants, by the linker.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start;
extern "C" __attribute__((visibility("hidden"))) const char _end;

namespace fcmrt::simt {
namespace {

constexpr std::uint64_t kGap = 256;  // between shared arrays, and around them
constexpr std::uint64_t kArena = 256 * 1024;
constexpr int kAtLaunch = -1;

struct SharedArray {
  int declaration;
  char* begin;
};

std::vector<Array> global_arrays;
std::vector<Array> shared_arrays;  // of the running block, as `declared`
std::vector<SharedArray> declared;
std::unique_ptr<char[]> arena;
std::uint64_t arena_used = 0;
std::uint64_t launch_number = 0;

Array* find(std::vector<Array>& arrays, const char* p, std::uint64_t size) {
  for (Array& array : arrays) {
    if (array.holds(p, size)) return &array;
  }
  return nullptr;
}

// Says what is next to an address that is in no array.
std::string nearest(const char* p, std::uint64_t size) {
  for (const std::vector<Array>* arrays : {&shared_arrays, &global_arrays}) {
    for (const Array& array : *arrays) {
      if (p + size > array.begin - kGap && p < array.end + kGap) {
        return "byte " + std::to_string(p - array.begin) + " of " + array.name + ", which has " +
               std::to_string(array.end - array.begin);
      }
    }
  }
  return "an address that is in no array";
}

// Whether an access of another thread is sure to be over when the running thread comes.
bool is_before(const Access& earlier, const Access& now) {
  if (earlier.touch == Touch::none) return true;
  if (earlier.block != now.block) return false;
  if (earlier.thread == now.thread || earlier.epoch < now.epoch) return true;
  if (earlier.thread / kWarpSize != now.thread / kWarpSize) return false;
  const Warp& warp = scheduler().warp_of(now.thread);
  return warp.seen[now.thread % kWarpSize][earlier.thread % kWarpSize] >= earlier.clock;
}

std::string describe(const Array& array, const char* p) {
  return "byte " + std::to_string(p - array.begin) + " of " + array.name;
}

[[noreturn]] void fail_race(const Array& array, const char* p, const Access& earlier,
                            const Access& now) {
  const auto word = [](Touch touch) {
    return touch == Touch::read ? "read" : touch == Touch::write ? "written" : "changed at once";
  };
  scheduler().fail("race: " + describe(array, p) + " is " + word(now.touch) + " while thread " +
                   std::to_string(earlier.thread) +
                   (earlier.block == now.block ? "" : " of another block") + " has " +
                   word(earlier.touch) + " it, no barrier between");
}

void note(Array& array, const char* p, const Access& now) {
  Byte& byte = array.bytes[p - array.begin];
  const std::uint64_t stamp = array.shared ? now.block : launch_number;
  if (byte.stamp != stamp) {
    byte.stamp = stamp;
    byte.write.touch = byte.read.touch = byte.other_read.touch = Touch::none;
    if (array.shared) byte.written = false;
  }
  if (now.touch != Touch::write && !byte.written && !array.written) {
    scheduler().fail("uninitialised: " + describe(array, p) + " is read before it is written");
  }
  const bool both_atomic = byte.write.touch == Touch::atomic && now.touch == Touch::atomic;
  if (!both_atomic && !is_before(byte.write, now)) fail_race(array, p, byte.write, now);
  if (now.touch == Touch::read) {
    if (byte.read.touch != Touch::none && byte.read.thread != now.thread) {
      byte.other_read = byte.read;
    }
    byte.read = now;
    return;
  }
  for (const Access& read : {byte.read, byte.other_read}) {
    if (!is_before(read, now)) fail_race(array, p, read, now);
  }
  byte.write = now;
  byte.written = true;
}

void touch(const void* at, std::uint64_t size, Touch how, bool aligned) {
  Scheduler& all = scheduler();
  if (!all.running() || all.stacks().hold(at)) return;
  const auto* const p = static_cast<const char*>(at);
  Array* array = find(shared_arrays, p, size);
  if (!array) array = find(global_arrays, p, size);
  if (!array) {
    if (how == Touch::read && p >= &__ehdr_start && p + size <= &_end) return;
    all.fail("out of bounds: " + std::to_string(size) + " bytes at " + nearest(p, size));
  }
  if (how != Touch::read && !array->writable) {
    all.fail("a write to " + array->name + ", which is only to be read");
  }
  if (aligned && reinterpret_cast<std::uintptr_t>(at) % size != 0) {
    all.fail("misaligned: " + std::to_string(size) + " bytes at byte " +
             std::to_string(p - array->begin) + " of " + array->name);
  }
  if (!array->bytes) array->bytes.reset(new Byte[array->end - array->begin]());
  const Access now = {all.block_number(), all.epoch(),
                      all.warp().clocks[all.thread() % kWarpSize], std::uint16_t(all.thread()),
                      how};
  for (std::uint64_t i = 0; i < size; ++i) note(*array, p + i, now);
}

char* place_shared(int declaration, const char* name, std::uint64_t bytes, std::uint64_t align) {
  const std::uint64_t begin = (arena_used + align - 1) / align * align;
  arena_used = begin + bytes + kGap;
  if (arena_used > kArena) scheduler().fail("a block has more shared memory than the emulator");
  char* const at = arena.get() + begin;
  std::memset(at, 0xA5, bytes);
  declared.push_back({declaration, at});
  // Shadows are kept from block to block: their stamps tell them apart.
  const std::size_t i = declared.size() - 1;
  if (i < shared_arrays.size() && shared_arrays[i].begin == at &&
      shared_arrays[i].end == at + bytes) {
    shared_arrays[i].name = name;
  } else {
    shared_arrays.resize(i);
    shared_arrays.push_back({at, at + bytes, name, true, false, true, nullptr});
  }
  return at;
}

}  // namespace

void add_array(const void* begin, std::uint64_t size, const char* name, bool writable,
               bool written) {
  remove_array(begin);
  const auto* const p = static_cast<const char*>(begin);
  global_arrays.push_back({p, p + size, name, writable, written, false, nullptr});
}

void remove_array(const void* begin) {
  std::erase_if(global_arrays, [&](const Array& array) { return array.begin == begin; });
}

void clear_arrays() { global_arrays.clear(); }

void begin_launch() {
  ++launch_number;
  shared_arrays.clear();
  if (!arena) arena.reset(new (std::align_val_t(16)) char[kArena]);
}

void begin_block(std::uint32_t shared_bytes) {
  declared.clear();
  arena_used = kGap;
  if (shared_bytes > 0) place_shared(kAtLaunch, "shared memory of the launch", shared_bytes, 16);
}

void* shared_array(int declaration, const char* name, std::uint64_t size, std::uint64_t align,
                   std::uint64_t count) {
  for (const SharedArray& array : declared) {
    if (array.declaration == declaration) return array.begin;
  }
  return place_shared(declaration, name, size * count, align);
}

unsigned char* shared_at_launch() {
  if (declared.empty() || declared.front().declaration != kAtLaunch) {
    scheduler().fail("a kernel asks for shared memory that its launch does not give");
  }
  return reinterpret_cast<unsigned char*>(declared.front().begin);
}

void note_atomic(void* at, std::uint64_t size) { touch(at, size, Touch::atomic, true); }

}  // namespace fcmrt::simt

// ---- what the compiler calls

#define FCMRT_ACCESS(size)                                          \
  extern "C" void __tsan_read##size(void* p) {                      \
    fcmrt::simt::touch(p, size, fcmrt::simt::Touch::read, true);    \
  }                                                                 \
  extern "C" void __tsan_write##size(void* p) {                     \
    fcmrt::simt::touch(p, size, fcmrt::simt::Touch::write, true);   \
  }                                                                 \
  extern "C" void __tsan_unaligned_read##size(void* p) {            \
    fcmrt::simt::touch(p, size, fcmrt::simt::Touch::read, false);   \
  }                                                                 \
  extern "C" void __tsan_unaligned_write##size(void* p) {           \
    fcmrt::simt::touch(p, size, fcmrt::simt::Touch::write, false);  \
  }

FCMRT_ACCESS(1)
FCMRT_ACCESS(2)
FCMRT_ACCESS(4)
FCMRT_ACCESS(8)
FCMRT_ACCESS(16)

extern "C" void __tsan_read_range(void* p, unsigned long size) {
  fcmrt::simt::touch(p, size, fcmrt::simt::Touch::read, false);
}
extern "C" void __tsan_write_range(void* p, unsigned long size) {
  fcmrt::simt::touch(p, size, fcmrt::simt::Touch::write, false);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
