#include "failure.h"

#include <cstdio>
#include <cstdlib>

#include "sanitizer.h"

namespace fcmrt::fuzz {
namespace {

std::string current;

void name_case() {
  if (!current.empty()) std::fprintf(stderr, "case: %s\n", current.c_str());
}

}  // namespace

void begin_case(const std::string& name) {
  current = name;
  on_sanitizer_report(name_case);
}

void fail(const char* what) {
  std::fprintf(stderr, "finding: %s\n", what);
  name_case();
  std::abort();
}

}  // namespace fcmrt::fuzz
