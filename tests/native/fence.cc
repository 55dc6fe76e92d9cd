#include "fence.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#include "sanitizer.h"

namespace fcmrt::fuzz {
namespace {

constexpr std::size_t kPage = 1 << 16;  // no machine has larger ones
constexpr std::size_t kMaxSlots = 1024;

// Slots of one size, each followed by a page that is the fence.
struct Pool {
  std::size_t room;
  std::size_t slots;
  std::uintptr_t begin = 0;
  std::size_t free_count = 0;
  std::uint16_t free[kMaxSlots] = {};

  std::size_t stride() const { return room + kPage; }
  std::uintptr_t slot_end(std::size_t slot) const { return begin + slot * stride() + room; }
  bool holds(std::uintptr_t address) const {
    return begin != 0 && address >= begin && address < begin + slots * stride();
  }
};

// Static and without constructors, since `new` may be called before anything is constructed.
constinit Pool pools[] = {
    {kPage, kMaxSlots},
    {16 * kPage, 64},
    {128 * kPage, 8},
};
constinit std::mutex lock;
constinit thread_local bool fencing = false;

void open(Pool& pool) {
  void* const all = mmap(nullptr, pool.slots * pool.stride(), PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) std::abort();
  pool.begin = reinterpret_cast<std::uintptr_t>(all);
  for (std::size_t slot = pool.slots; slot-- > 0;) {
    void* const first = reinterpret_cast<void*>(pool.slot_end(slot) - pool.room);
    if (mprotect(first, pool.room, PROT_READ | PROT_WRITE) != 0) std::abort();
    poison(first, pool.room);
    pool.free[pool.free_count++] = std::uint16_t(slot);
  }
}

}  // namespace

void* take_fenced(std::size_t bytes, std::size_t alignment) {
  const std::size_t room = (bytes + alignment - 1) / alignment * alignment;
  const std::lock_guard guard(lock);
  for (Pool& pool : pools) {
    if (room > pool.room) continue;
    if (pool.begin == 0) open(pool);
    if (pool.free_count == 0) continue;
    void* const block =
        reinterpret_cast<void*>(pool.slot_end(pool.free[--pool.free_count]) - room);
    unpoison(block, bytes);
    return block;
  }
  return nullptr;
}

bool give_back_fenced(void* block) {
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  const std::lock_guard guard(lock);
  for (Pool& pool : pools) {
    if (!pool.holds(address)) continue;
    // An empty block begins at its slot's fence.
    const std::size_t slot = (address - pool.begin) / pool.stride();
    poison(block, pool.slot_end(slot) - address);
    pool.free[pool.free_count++] = std::uint16_t(slot);
    return true;
  }
  return false;
}

FencedHeap::FencedHeap() : outer_(std::exchange(fencing, true)) {}
FencedHeap::~FencedHeap() { fencing = outer_; }

namespace {

void* take(std::size_t bytes) {
  void* block = fencing ? take_fenced(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__) : nullptr;
  if (!block) block = std::malloc(bytes > 0 ? bytes : 1);
  if (!block) throw std::bad_alloc();
  return block;
}

void give_back(void* block) noexcept {
  if (block && !give_back_fenced(block)) std::free(block);
}

}  // namespace
}  // namespace fcmrt::fuzz

void* operator new(std::size_t bytes) { return fcmrt::fuzz::take(bytes); }
void* operator new[](std::size_t bytes) { return fcmrt::fuzz::take(bytes); }
void operator delete(void* block) noexcept { fcmrt::fuzz::give_back(block); }
void operator delete[](void* block) noexcept { fcmrt::fuzz::give_back(block); }
void operator delete(void* block, std::size_t) noexcept { fcmrt::fuzz::give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { fcmrt::fuzz::give_back(block); }
