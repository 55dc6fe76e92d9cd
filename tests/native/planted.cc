// Faults on purpose, compiled as the fuzz target is: each must end the process with a report.
//
//   planted heap | fence | front | freed | arithmetic | disagreement
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <string_view>

#include "agreement.h"
#include "failure.h"

namespace fcmrt::fuzz {
namespace {

// The compiler must not see through these.
volatile i32 one = 1;
volatile i32 sink;

void read_behind_heap() {
  const auto block = std::make_unique<i32[]>(4);
  sink = block[std::size_t(3 + one)];
}

// As a gather reads: the compiler does not look.
__attribute__((no_sanitize_address)) void read_unseen(const i32* block, i32 index) {
  sink = block[index];
}

void read_behind_fence() {
  const FencedHeap here;
  const auto block = std::make_unique<i32[]>(4);
  read_unseen(block.get(), 3 + one);
}

void read_in_front_of_fenced() {
  const Fenced<i32> block(4);
  sink = block.data()[-one];
}

void read_freed() {
  const i32* old;
  {
    const Fenced<i32> block(4);
    old = block.data();
  }
  sink = old[one];
}

void overflow() { sink = std::numeric_limits<i32>::max() + one; }

void disagree() {
  const Decoded found{Status::ok, 1, 7, {{1, 2, 3}}};
  Decoded other = found;
  other.symbols[0][1] += one;
  require(agree(found, found), "equal results disagree");
  require(agree(found, other), "planted");
}

}  // namespace
}  // namespace fcmrt::fuzz

int main(int count, char** arguments) {
  using namespace fcmrt::fuzz;
  const std::string_view name = count == 2 ? arguments[1] : "";
  begin_case("planted");
  if (name == "heap") read_behind_heap();
  if (name == "fence") read_behind_fence();
  if (name == "front") read_in_front_of_fenced();
  if (name == "freed") read_freed();
  if (name == "arithmetic") overflow();
  if (name == "disagreement") disagree();
  std::puts("nobody noticed");
  return 0;
}
