// Memory whose end is the end of what may be touched.
//
// The sanitizer looks at accesses that the compiler sees. It does not look at gathers, nor at
// masked, compressing or expanding loads and stores, which are functions to it. So a block here
// ends at a page that nobody may read or write: a byte too far is a fault, whatever instruction
// went there. In front of a block, and where one was, the memory is poisoned for the sanitizer.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace fcmrt::fuzz {

// A block whose last byte is the last before a fence, up to `alignment`. Null if no fence is left,
// or none for so much.
void* take_fenced(std::size_t bytes, std::size_t alignment);

// Whether the block came from take_fenced; if so, it is taken back.
bool give_back_fenced(void* block);

// While one of these lives, what this thread allocates with `new` is fenced. Blocks are then
// aligned as `new` promises, so up to 15 bytes behind them are known to the sanitizer only.
class FencedHeap {
 public:
  FencedHeap();
  ~FencedHeap();
  FencedHeap(const FencedHeap&) = delete;
  FencedHeap& operator=(const FencedHeap&) = delete;

 private:
  bool outer_;
};

// An array that ends exactly at a fence; where there is none left, at the sanitizer's red zone.
template <class T>
class Fenced {
 public:
  explicit Fenced(std::size_t count) : count_(count) {
    void* const block = take_fenced(count * sizeof(T), sizeof(T));
    data_ = static_cast<T*>(block ? block : ::operator new(count * sizeof(T)));
  }
  explicit Fenced(const std::vector<T>& values) : Fenced(values.size()) {
    if (count_ > 0) std::memcpy(data_, values.data(), count_ * sizeof(T));
  }
  Fenced(Fenced&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  ~Fenced() {
    if (data_ && !give_back_fenced(data_)) ::operator delete(data_);
  }

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::span<const T> span() const { return {data_, count_}; }
  std::vector<T> copy() const { return std::vector<T>(data_, data_ + count_); }

 private:
  T* data_;
  std::size_t count_;
};

}  // namespace fcmrt::fuzz
