// Runs the fuzz target without libFuzzer:
//
//   fuzz_coder [--decodes N] [--seed S] [--first CASE]     cases that follow from their numbers
//   fuzz_coder --golden FILE...                            committed packets
//
// Either prints one JSON object. A finding ends the process and names its case; `--decodes 1` with
// the options that it prints runs it alone.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "agreement.h"
#include "failure.h"
#include "fuzz_coder.h"
#include "golden.h"

namespace fcmrt::fuzz {
namespace {

#if defined(__clang__)
constexpr char kCompiler[] = __VERSION__;
#else
constexpr char kCompiler[] = "GCC " __VERSION__;
#endif

const char* name_of(Status status) {
  switch (status) {
    case Status::ok: return "ok";
    case Status::words_exhausted: return "words_exhausted";
    case Status::state_too_small: return "state_too_small";
    case Status::segments_size: return "segments_size";
    case Status::index_out_of_range: return "index_out_of_range";
    case Status::skipped_nonzero: return "skipped_nonzero";
    case Status::escapes_exhausted: return "escapes_exhausted";
    case Status::escape_malformed: return "escape_malformed";
    case Status::escape_out_of_range: return "escape_out_of_range";
    case Status::words_left: return "words_left";
    case Status::escapes_left: return "escapes_left";
    case Status::seed_nonzero: return "seed_nonzero";
    case Status::symbol_too_wide: return "symbol_too_wide";
  }
  return "unknown";
}

struct Options {
  u64 decodes = 100000;
  u64 seed = 0;
  u64 first = 0;
};

void run_numbered(const Options& options) {
  constexpr u64 kReportEvery = 1000000;
  u64 report = kReportEvery;
  for (u64 number = options.first; counts().decodes < options.decodes; ++number) {
    begin_case("--seed " + std::to_string(options.seed) + " --first " + std::to_string(number));
    u64 state = options.seed;
    state = next_random(state) + number;
    u8 bytes[8];
    const u64 random = next_random(state);
    for (int i = 0; i < 8; ++i) bytes[i] = u8(random >> (8 * i));
    run_case(bytes);
    if (counts().decodes < report) continue;
    std::fprintf(stderr, "%" PRIu64 " decodes\n", counts().decodes);
    report += kReportEvery;
  }
}

void print(const Options& options, double seconds) {
  const Counts& all = counts();
  std::printf("{\"seed\": %" PRIu64 ", \"first\": %" PRIu64 ", \"cases\": %" PRIu64
              ", \"packets\": %" PRIu64 ", \"decodes\": %" PRIu64 ", \"encodes\": %" PRIu64
              ", \"refused_encodes\": %" PRIu64 ", \"accepted\": %" PRIu64
              ", \"accepted_symbols\": %" PRIu64 ", \"refused\": {",
              options.seed, options.first, all.cases, all.packets, all.decodes, all.encodes,
              all.refused_encodes, all.accepted, all.accepted_symbols);
  const char* comma = "";
  for (const auto& [status, count] : all.refused) {
    std::printf("%s\"%s\": %" PRIu64, std::exchange(comma, ", "), name_of(status), count);
  }
  std::printf("}, \"implementations\": [");
  comma = "";
  for (const Implementation* how : implementations()) {
    std::printf("%s\"%s\"", std::exchange(comma, ", "), how->name);
  }
  std::printf("], \"compiler\": \"%s\", \"sanitizers\": \"%s\", \"seconds\": %.1f}\n",
              kCompiler, FCMRT_SANITIZERS, seconds);
}

int replay_all(std::span<char* const> paths) {
  const char* comma = "{";
  for (const char* path : paths) {
    begin_case(path);
    std::printf("%s\"%s\": \"%s\"", std::exchange(comma, ", "), path,
                name_of(replay(read_golden(path))));
  }
  std::printf("}\n");
  return 0;
}

int main(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    if (name == "--golden") return replay_all({arguments + i + 1, std::size_t(count - i - 1)});
    u64* const value = name == "--decodes" ? &options.decodes
                       : name == "--seed"  ? &options.seed
                       : name == "--first" ? &options.first
                                           : nullptr;
    if (!value || ++i == count) {
      std::fprintf(stderr, "usage: fuzz_coder [--decodes N] [--seed S] [--first CASE]\n"
                           "       fuzz_coder --golden FILE...\n");
      return 2;
    }
    *value = std::strtoull(arguments[i], nullptr, 10);
  }
  const auto begin = std::chrono::steady_clock::now();
  run_numbered(options);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  print(options, taken.count());
  return 0;
}

}  // namespace
}  // namespace fcmrt::fuzz

int main(int count, char** arguments) { return fcmrt::fuzz::main(count, arguments); }
