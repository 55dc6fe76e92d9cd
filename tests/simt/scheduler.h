// Runs the blocks of a launch.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "block.h"
#include "fiber.h"

namespace fcmrt::simt {

constexpr unsigned kWarpSize = 32;
constexpr unsigned kMaxThreads = 1024;

enum class Meeting : std::uint8_t { none, barrier, warp_barrier, vote, shuffle };

struct Thread {
  Fiber fiber;
  Index3 index;
  bool done;
  Meeting at;           // what it waits for
  std::uint32_t mask;   // and with whom
  std::uint64_t value;  // what it brings
};

// Memory is ordered between lanes only where a barrier did it. A lane counts its warp barriers, and
// knows how far it has seen those of the other lanes.
struct Warp {
  std::uint64_t values[kWarpSize];  // what each lane brought to its last vote or shuffle
  std::uint32_t clocks[kWarpSize];
  std::uint32_t seen[kWarpSize][kWarpSize];
};

struct LaunchShape {
  Index3 grid;
  Index3 block;
  std::uint32_t shared_bytes;
};

class Scheduler {
 public:
  // Runs `body` once for every thread; what went wrong, or an empty text.
  std::string run(const LaunchShape& shape, const std::function<void()>& body, std::uint64_t seed);

  // ---- for the threads that run

  // Ends the launch; does not return to the thread.
  [[noreturn]] void fail(const std::string& what);
  void wait(Meeting at, std::uint32_t mask, std::uint64_t value);

  bool running() const { return current_ != nullptr; }
  unsigned thread() const { return unsigned(current_ - threads_.data()); }
  const Thread& current() const { return *current_; }
  Warp& warp() { return warps_[thread() / kWarpSize]; }
  const Warp& warp_of(unsigned thread) const { return warps_[thread / kWarpSize]; }
  std::uint32_t epoch() const { return epoch_; }
  std::uint64_t block_number() const { return block_number_; }
  const LaunchShape& shape() const { return shape_; }
  Index3 block() const { return block_; }
  const Stacks& stacks() const { return stacks_; }

 private:
  static void entry();
  void run_block();
  void step();
  bool release_warps();
  bool release(unsigned first, std::uint32_t mask);
  bool release_barrier();
  std::string why_stuck() const;
  std::string where(unsigned thread) const;

  LaunchShape shape_{};
  const std::function<void()>* body_ = nullptr;
  Stacks stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> order_;
  Thread* current_ = nullptr;
  Index3 block_{};
  std::uint64_t block_number_ = 0;
  std::uint32_t epoch_ = 0;  // barriers of the block so far
  std::uint64_t random_ = 0;
  std::string failure_;
};

Scheduler& scheduler();

}  // namespace fcmrt::simt
