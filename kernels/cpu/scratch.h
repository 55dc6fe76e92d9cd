// Memory for integers that grows and is kept.
#pragma once

#include <cstddef>
#include <memory>

namespace fcmrt::cpu {

// Room for integers, uninitialised: for loops that write before they read.
template <class T>
class Scratch {
 public:
  // The content is lost. Takes a little more than asked for, so that varying sizes rarely grow it.
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
