#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

namespace fcmrt::simt {

#if defined(__x86_64__)

// Saves what a called function must keep, changes stacks, and restores it (System V).
extern "C" void simt_switch(void** save, void* load);
asm(R"(
.text
.type simt_switch,@function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch
)");

void Fiber::prepare(void (*entry)(), char* stack, std::size_t size) {
  // What simt_switch would have left: six registers, where to return to, and that one's caller.
  auto* top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack + size) & ~15ull);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  own_ = top;
}

void Fiber::enter() { simt_switch(&caller_, own_); }
void Fiber::leave() { simt_switch(&own_, caller_); }

#else

void Fiber::prepare(void (*entry)(), char* stack, std::size_t size) {
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack;
  own_.uc_stack.ss_size = size;
  own_.uc_link = nullptr;
  makecontext(&own_, entry, 0);
}

void Fiber::enter() { swapcontext(&caller_, &own_); }
void Fiber::leave() { swapcontext(&own_, &caller_); }

#endif

void Stacks::reserve(std::size_t count) {
  if (count <= stacks_.size()) return;
  const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
  const std::size_t more = count - stacks_.size(), each = page + kSize;
  void* const memory = mmap(nullptr, more * each, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  blocks_.push_back({static_cast<char*>(memory), more * each});
  for (std::size_t i = 0; i < more; ++i) {
    char* const fence = static_cast<char*>(memory) + i * each;
    if (mprotect(fence, page, PROT_NONE) != 0) throw std::bad_alloc();
    stacks_.push_back(fence + page);
  }
}

bool Stacks::hold(const void* address) const {
  const auto* const p = static_cast<const char*>(address);
  for (const Block& block : blocks_) {
    if (p >= block.begin && p < block.begin + block.bytes) return true;
  }
  return false;
}

Stacks::~Stacks() {
  for (const Block& block : blocks_) munmap(block.begin, block.bytes);
}

}  // namespace fcmrt::simt
