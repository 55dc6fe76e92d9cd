#include "scheduler.h"

#include <bit>
#include <numeric>
#include <utility>

#include "memory.h"

namespace fcmrt::simt {
namespace {

const char* name_of(Meeting at) {
  switch (at) {
    case Meeting::barrier: return "__syncthreads";
    case Meeting::warp_barrier: return "__syncwarp";
    case Meeting::vote: return "a vote";
    case Meeting::shuffle: return "a shuffle";
    default: return "nothing";
  }
}

// SplitMix64 (S. Vigna, public domain).
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

}  // namespace

Scheduler& scheduler() {
  static Scheduler only;
  return only;
}

std::string Scheduler::run(const LaunchShape& shape, const std::function<void()>& body,
                           std::uint64_t seed) {
  shape_ = shape;
  body_ = &body;
  random_ = seed;
  failure_.clear();
  const unsigned count = shape.block.x * shape.block.y * shape.block.z;
  stacks_.reserve(count);
  threads_.resize(count);
  warps_.resize((count + kWarpSize - 1) / kWarpSize);
  order_.resize(count);
  std::iota(order_.begin(), order_.end(), 0u);
  for (unsigned z = 0; z < shape.grid.z; ++z) {
    for (unsigned y = 0; y < shape.grid.y; ++y) {
      for (unsigned x = 0; x < shape.grid.x && failure_.empty(); ++x) {
        block_ = {x, y, z};
        run_block();
      }
    }
  }
  return failure_;
}

void Scheduler::entry() {
  Scheduler& self = scheduler();
  (*self.body_)();
  self.current_->done = true;
  for (;;) self.current_->fiber.leave();
}

void Scheduler::run_block() {
  ++block_number_;
  epoch_ = 0;
  begin_block(shape_.shared_bytes);
  const Index3 size = shape_.block;
  for (unsigned i = 0; i < threads_.size(); ++i) {
    Thread& thread = threads_[i];
    thread.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    thread.done = false;
    thread.at = Meeting::none;
    thread.fiber.prepare(entry, stacks_.at(i), Stacks::kSize);
  }
  // A lane's own clock is ahead of what others have seen of it.
  for (Warp& warp : warps_) {
    warp = {};
    for (unsigned lane = 0; lane < kWarpSize; ++lane) warp.clocks[lane] = 1;
  }
  step();
}

// Runs the block to its end.
void Scheduler::step() {
  for (;;) {
    for (std::size_t i = order_.size(); i > 1; --i) {
      std::swap(order_[i - 1], order_[next_random(random_) % i]);
    }
    unsigned left = 0;
    for (const unsigned i : order_) {
      Thread& thread = threads_[i];
      if (!thread.done && thread.at == Meeting::none) {
        current_ = &thread;
        thread.fiber.enter();
        current_ = nullptr;
        if (!failure_.empty()) return;
      }
      left += !thread.done;
    }
    if (left == 0) return;
    const bool some = release_warps();
    if (!release_barrier() && !some) {
      failure_ = why_stuck();
      return;
    }
  }
}

bool Scheduler::release_warps() {
  bool some = false;
  for (unsigned i = 0; i < threads_.size(); ++i) {
    const Thread& thread = threads_[i];
    if (thread.done || thread.at == Meeting::none || thread.at == Meeting::barrier) continue;
    some |= release(i, thread.mask);
  }
  return some;
}

// Lets the lanes of a mask go on if all of them are where the thread `first` is.
bool Scheduler::release(unsigned first, std::uint32_t mask) {
  const unsigned base = first / kWarpSize * kWarpSize;
  const Meeting at = threads_[first].at;
  for (std::uint32_t rest = mask; rest; rest &= rest - 1) {
    const unsigned i = base + unsigned(std::countr_zero(rest));
    if (i >= threads_.size() || threads_[i].done || threads_[i].at != at ||
        threads_[i].mask != mask) {
      return false;
    }
  }
  Warp& warp = warps_[base / kWarpSize];
  std::uint32_t joined[kWarpSize] = {};
  for (std::uint32_t rest = mask; rest; rest &= rest - 1) {
    const unsigned lane = unsigned(std::countr_zero(rest));
    Thread& thread = threads_[base + lane];
    thread.at = Meeting::none;
    warp.values[lane] = thread.value;
    if (at != Meeting::warp_barrier) continue;
    for (unsigned other = 0; other < kWarpSize; ++other) {
      if (warp.seen[lane][other] > joined[other]) joined[other] = warp.seen[lane][other];
    }
    joined[lane] = warp.clocks[lane]++;
  }
  if (at != Meeting::warp_barrier) return true;
  for (std::uint32_t rest = mask; rest; rest &= rest - 1) {
    std::uint32_t* const seen = warp.seen[std::countr_zero(rest)];
    for (unsigned other = 0; other < kWarpSize; ++other) {
      if (joined[other] > seen[other]) seen[other] = joined[other];
    }
  }
  return true;
}

bool Scheduler::release_barrier() {
  for (const Thread& thread : threads_) {
    if (thread.done || thread.at != Meeting::barrier) return false;
  }
  for (Thread& thread : threads_) thread.at = Meeting::none;
  ++epoch_;
  return true;
}

std::string Scheduler::where(unsigned thread) const {
  const Index3 b = block_;
  return "thread " + std::to_string(thread) + " of block (" + std::to_string(b.x) + ", " +
         std::to_string(b.y) + ", " + std::to_string(b.z) + ")";
}

std::string Scheduler::why_stuck() const {
  for (unsigned i = 0; i < threads_.size(); ++i) {
    const Thread& thread = threads_[i];
    if (thread.done || thread.at == Meeting::none) continue;
    const unsigned base = thread.at == Meeting::barrier ? 0 : i / kWarpSize * kWarpSize;
    const unsigned end = thread.at == Meeting::barrier ? unsigned(threads_.size())
                                                       : base + kWarpSize;
    for (unsigned j = base; j < end; ++j) {
      if (thread.at != Meeting::barrier && !(thread.mask >> (j - base) & 1)) continue;
      const std::string start = "divergence: " + where(i) + " is at " + name_of(thread.at);
      if (j >= threads_.size()) return start + " with a lane that its block does not have";
      const Thread& other = threads_[j];
      if (other.done) return start + ", " + where(j) + " has left the kernel";
      if (other.at != thread.at) return start + ", " + where(j) + " at " + name_of(other.at);
      if (thread.at != Meeting::barrier && other.mask != thread.mask) {
        return start + ", " + where(j) + " too, with another mask";
      }
    }
  }
  return "divergence: no thread can go on";
}

void Scheduler::fail(const std::string& what) {
  failure_ = what + ", by " + where(thread());
  for (;;) current_->fiber.leave();
}

void Scheduler::wait(Meeting at, std::uint32_t mask, std::uint64_t value) {
  Thread& thread = *current_;
  if (at != Meeting::barrier && !(mask >> (this->thread() % kWarpSize) & 1)) {
    fail(std::string("divergence: ") + name_of(at) + " whose mask leaves the caller out");
  }
  thread.at = at;
  thread.mask = mask;
  thread.value = value;
  thread.fiber.leave();
}

// ---- what a kernel asks

Index3 thread_index() { return scheduler().current().index; }
Index3 block_index() { return scheduler().block(); }
Index3 block_size() { return scheduler().shape().block; }
Index3 grid_size() { return scheduler().shape().grid; }

void sync_block() { scheduler().wait(Meeting::barrier, 0, 0); }
void sync_warp(std::uint32_t mask) { scheduler().wait(Meeting::warp_barrier, mask, 0); }

std::uint32_t vote(std::uint32_t mask, bool yes) {
  scheduler().wait(Meeting::vote, mask, yes);
  const Warp& warp = scheduler().warp();
  std::uint32_t votes = 0;
  for (std::uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    votes |= std::uint32_t(warp.values[lane]) << lane;
  }
  return votes;
}

std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, unsigned from) {
  scheduler().wait(Meeting::shuffle, mask, value);
  if (!(mask >> from & 1)) scheduler().fail("divergence: a shuffle from a lane beside its mask");
  return scheduler().warp().values[from];
}

template <class T>
T add_at(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template unsigned add_at(unsigned*, unsigned);
template unsigned long add_at(unsigned long*, unsigned long);
template unsigned long long add_at(unsigned long long*, unsigned long long);

int or_at(int* at, int bits) {
  const int before = *at;
  *at = before | bits;
  return before;
}

int swap_at(int* at, int expected, int value) {
  const int before = *at;
  if (before == expected) *at = value;
  return before;
}

}  // namespace fcmrt::simt
