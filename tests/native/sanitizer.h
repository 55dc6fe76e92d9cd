// The address sanitizer's interface, where the compiler was told to use it; else nothing happens.
#pragma once

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FCMRT_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FCMRT_ASAN
#endif

#if defined(FCMRT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fcmrt::fuzz {

inline void poison([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) {
#if defined(FCMRT_ASAN)
  __asan_poison_memory_region(block, bytes);
#endif
}

inline void unpoison([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) {
#if defined(FCMRT_ASAN)
  __asan_unpoison_memory_region(block, bytes);
#endif
}

// Has `call` called after a report, before the process ends.
inline void on_sanitizer_report([[maybe_unused]] void (*call)()) {
#if defined(FCMRT_ASAN)
  __sanitizer_set_death_callback(call);
#endif
}

}  // namespace fcmrt::fuzz
