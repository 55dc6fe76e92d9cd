// What kernels may touch, and who touched it.
//
// The kernels are compiled as if for ThreadSanitizer, which makes the compiler call a function before
// every access to memory; here these functions are the emulator's own. Each access must lie in an
// array that the launch may use, and be aligned. Each byte knows its last write and its last reads: a
// byte that was never written must not be read, and two threads must not touch the same byte, one of
// them writing, unless a barrier stands between.
#pragma once

#include <cstdint>

namespace fcmrt::simt {

// An array in global memory that kernels may use from now on; `written`: its bytes have values.
void add_array(const void* begin, std::uint64_t size, const char* name, bool writable,
               bool written);
void remove_array(const void* begin);
void clear_arrays();

// Called when a launch and when a block of it begins.
void begin_launch();
void begin_block(std::uint32_t shared_bytes);

}  // namespace fcmrt::simt
