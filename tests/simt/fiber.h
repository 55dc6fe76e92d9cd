// Threads of control that take turns on one thread of the system.
#pragma once

#include <cstddef>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace fcmrt::simt {

class Fiber {
 public:
  // Makes it begin in `entry`, which must not return, on a stack that the caller keeps.
  void prepare(void (*entry)(), char* stack, std::size_t size);

  // Goes on with this fiber until leave() is called in it.
  void enter();

  // Goes back to where enter() was called.
  void leave();

 private:
#if defined(__x86_64__)
  void* own_ = nullptr;
  void* caller_ = nullptr;
#else
  ucontext_t own_;
  ucontext_t caller_;
#endif
};

// Stacks, each with a page in front that may not be touched. They are kept for the next launch.
class Stacks {
 public:
  static constexpr std::size_t kSize = 64 * 1024;

  ~Stacks();
  // At least so many.
  void reserve(std::size_t count);
  char* at(std::size_t i) const { return stacks_[i]; }
  // Whether an address lies in a stack.
  bool hold(const void* address) const;

 private:
  struct Block {
    char* begin;
    std::size_t bytes;
  };
  std::vector<Block> blocks_;
  std::vector<char*> stacks_;
};

}  // namespace fcmrt::simt
