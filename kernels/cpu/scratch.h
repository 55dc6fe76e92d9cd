// Memory for integers that grows and is kept.
#pragma once

#include <cstddef>
#include <memory>

namespace fcmrt::cpu {

// Room for integers, not set to anything: for loops that fill what they read.
template <class T>
class Scratch {
 public:
  // What was there is lost. A little more is taken, so that sizes that vary do not grow it often.
  T* reserve(std::size_t count) {
    if (count > room_) {
      data_.reset();  // first, so that the two are never held together
      room_ = 0;
      data_ = std::make_unique_for_overwrite<T[]>(count + count / 8);
      room_ = count + count / 8;
    }
    return data_.get();
  }
  T* data() const { return data_.get(); }
  std::size_t bytes() const { return room_ * sizeof(T); }

 private:
  std::unique_ptr<T[]> data_;
  std::size_t room_ = 0;
};

}  // namespace fcmrt::cpu
