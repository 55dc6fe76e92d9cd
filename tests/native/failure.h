// How a case fails.
#pragma once

#include <string>

namespace fcmrt::fuzz {

// Names the case that failures from here on are of.
void begin_case(const std::string& name);

// Tells what is wrong and in which case, and ends the process.
[[noreturn]] void fail(const char* what);

inline void require(bool holds, const char* otherwise) {
  if (!holds) [[unlikely]] fail(otherwise);
}

}  // namespace fcmrt::fuzz
