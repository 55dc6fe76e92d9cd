#include <cstring>

#include "loops.h"

namespace fcmrt::cpu {

const Loops* find_loops(const char* name) {
#if defined(FCMRT_X86)
  // What CMakeLists.txt compiles the two for.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("popcnt");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && std::strcmp(name, kAvx512Loops.name) == 0) return &kAvx512Loops;
  if (avx2 && std::strcmp(name, kAvx2Loops.name) == 0) return &kAvx2Loops;
#endif
  return std::strcmp(name, kScalarLoops.name) == 0 ? &kScalarLoops : nullptr;
}

}  // namespace fcmrt::cpu
