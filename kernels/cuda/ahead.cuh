// What was read rounds before it is needed, so that a round does not wait for memory.
#pragma once

#include "device.cuh"

namespace fcmrt::cuda {

// The next `depth` values, in registers: every index is known when this is compiled.
template <class T, u32 depth>
class Ahead {
 public:
  // `load(j)` gives the value that is needed in j rounds.
  template <class Load>
  FCMRT_METHOD explicit Ahead(Load load) {
    for (u32 j = 0; j < depth; ++j) values_[j] = load(j);
  }

  FCMRT_METHOD const T& operator[](u32 j) const { return values_[j]; }

  // Goes on by a round; `value` is needed in `depth` rounds from the one that ends.
  FCMRT_METHOD void advance(T value) {
    for (u32 j = 0; j + 1 < depth; ++j) values_[j] = values_[j + 1];
    values_[depth - 1] = value;
  }

 private:
  T values_[depth];
};

}  // namespace fcmrt::cuda
