#include "workspace.h"

#include <atomic>

namespace fcmrt::cpu {
namespace {

// As many are kept as calls usually run at the same time. Exchanged one by one instead of under a lock,
// which a fork could leave held for ever.
std::atomic<Workspace*> shelf[16];

// Larger ones are given back to the system.
constexpr std::size_t kMostKept = std::size_t(64) << 20;

template <class T>
std::size_t room(const std::vector<T>& vector) {
  return vector.capacity() * sizeof(T);
}

}  // namespace

std::size_t Workspace::bytes() const {
  std::size_t sum = room(segments) + words.bytes() + room(section);
  for (const Bench& bench : benches) {
    sum += bench.tables.bytes() + bench.masks.bytes() + bench.coded.bytes() + bench.numbers.bytes();
  }
  for (const auto& list : escapes) sum += room(list);
  for (const auto& list : escape_bytes) sum += room(list);
  for (const auto& list : numbers) sum += list.bytes();
  for (const auto& list : before) sum += list.bytes();
  return sum;
}

BorrowedWorkspace borrow_workspace() {
  for (std::atomic<Workspace*>& place : shelf) {
    if (Workspace* const found = place.exchange(nullptr)) return BorrowedWorkspace(found);
  }
  return BorrowedWorkspace(new Workspace);
}

void ReturnWorkspace::operator()(Workspace* workspace) const {
  if (workspace->bytes() <= kMostKept) {
    for (std::atomic<Workspace*>& place : shelf) {
      Workspace* empty = nullptr;
      if (place.compare_exchange_strong(empty, workspace)) return;
    }
  }
  delete workspace;
}

}  // namespace fcmrt::cpu
