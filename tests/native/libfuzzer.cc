// The fuzz target as libFuzzer calls it.
#include <cstddef>

#include "fuzz_coder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fcmrt::fuzz::run_case({data, size});
  return 0;
}
