// Arrays as they come from Python: pointer and length. What only the launcher (kernels/cpu.py)
// could get wrong raises ValueError.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <chrono>
#include <thread>

#include "loops.h"

namespace fcmrt::cpu {

namespace nb = nanobind;

template <class T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// Of several element types.
using InAny = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutAny = nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline void require(bool condition, const char* what) {
  if (!condition) throw nb::value_error(what);
}

// Whether an index array is 16-bit; refuses anything but uint8 and uint16.
template <class Array>
bool is_wide(const Array& indexes) {
  const bool wide = indexes.dtype() == nb::dtype<u16>();
  require(wide || indexes.dtype() == nb::dtype<u8>(), "indexes must be uint8 or uint16");
  return wide;
}

// Bytes of a signed integer; refuses anything but int8, int16 and int32.
template <class Array>
u32 signed_bytes(const Array& symbols) {
  const u32 bytes = symbols.dtype().bits / 8;
  require(symbols.dtype().code == u8(nb::dlpack::dtype_code::Int) && bytes <= 4,
          "symbols must be int8, int16 or int32");
  return bytes;
}

// Releases the interpreter's lock for as long as it lives.
//
// Up to Python 3.13, a thread that wants the lock while the interpreter ends is ended itself, which
// with glibc unwinds its stack: destructors would touch Python's objects without the lock. So it
// waits for the end of the process instead, as later versions let it.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  Unlocked(const Unlocked&) = delete;

 private:
  PyThreadState* const state_;
};

// The two parts of the module.
void bind_coder(nb::module_& m, nb::class_<Loops>& loops);
void bind_values(nb::class_<Loops>& loops);

}  // namespace fcmrt::cpu
