#include "launch.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "memory.h"
#include "scheduler.h"

namespace fcmrt::simt {
namespace {

struct Kernel {
  const char* signature;
  void* function;
  Caller call;
};

std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

std::mutex one_at_a_time;

}  // namespace

void add_kernel(const char* name, const char* signature, void* kernel, Caller call) {
  kernels()[name] = {signature, kernel, call};
}

}  // namespace fcmrt::simt

using namespace fcmrt::simt;

#define SIMT_API extern "C" __attribute__((visibility("default")))

SIMT_API void simt_add_array(const void* begin, std::uint64_t size, const char* name, int writable,
                             int written) {
  const std::lock_guard lock(one_at_a_time);
  add_array(begin, size, name, writable != 0, written != 0);
}

SIMT_API void simt_remove_array(const void* begin) {
  const std::lock_guard lock(one_at_a_time);
  remove_array(begin);
}

// What a kernel's arguments are, see Signature; null: there is no such kernel.
SIMT_API const char* simt_signature(const char* name) {
  const auto found = kernels().find(name);
  return found == kernels().end() ? nullptr : found->second.signature;
}

// Runs a kernel to its end; null, or what went wrong, which is good until the next launch.
SIMT_API const char* simt_launch(const char* name, const unsigned* grid, const unsigned* block,
                                 unsigned shared_bytes, void** arguments, std::uint64_t seed) {
  const std::lock_guard lock(one_at_a_time);
  static std::string failure;
  const auto found = kernels().find(name);
  if (found == kernels().end()) return "there is no such kernel";
  const unsigned threads = block[0] * block[1] * block[2];
  if (threads < 1 || threads > kMaxThreads) return "a block has 1 to 1024 threads";
  for (const unsigned blocks : {grid[0], grid[1], grid[2]}) {
    if (blocks < 1) return "a grid has a block at least";
  }
  if (grid[0] > 0x7FFFFFFF || grid[1] > 65535 || grid[2] > 65535) return "a grid is too large";
  if (shared_bytes > 48 * 1024) return "a block has 48 KiB of shared memory, unless it asks for more";
  const LaunchShape shape = {{grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]},
                             shared_bytes};
  begin_launch();
  const Kernel& kernel = found->second;
  failure = scheduler().run(shape, [&] { kernel.call(kernel.function, arguments); }, seed);
  return failure.empty() ? nullptr : failure.c_str();
}
