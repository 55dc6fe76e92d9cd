// A block of threads, each a fiber, and what the threads of a warp or block do together.
//
// The fibers run one after another, in an order that is drawn anew between any two meetings. Each
// runs to its next barrier, vote or shuffle and waits there. When all wait, those whose mask is
// complete go on; when nothing can go on, the launch fails with the reason.
#pragma once

#include <cstdint>

namespace fcmrt::simt {

struct Index3 {
  unsigned x, y, z;
};

// ---- what a kernel asks

Index3 thread_index();
Index3 block_index();
Index3 block_size();
Index3 grid_size();

void sync_block();
void sync_warp(std::uint32_t mask);
std::uint32_t vote(std::uint32_t mask, bool yes);
// The value that lane `from` of the mask brings.
std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, unsigned from);

// Shared memory of the running block: the array of this declaration, the same for all threads.
void* shared_array(int declaration, const char* name, std::uint64_t size, std::uint64_t align,
                   std::uint64_t count);
unsigned char* shared_at_launch();

// ---- memory that is accessed as one step

void note_atomic(void* at, std::uint64_t size);
template <class T>
T add_at(T* at, T value);
int or_at(int* at, int bits);
int swap_at(int* at, int expected, int value);

extern template unsigned add_at(unsigned*, unsigned);
extern template unsigned long add_at(unsigned long*, unsigned long);
extern template unsigned long long add_at(unsigned long long*, unsigned long long);

}  // namespace fcmrt::simt
