// Threads of the process that help with large calls.
#pragma once

#include <cstddef>
#include <type_traits>

#include "fcmrt/platform.h"

namespace fcmrt::cpu {

// Runs work(self, task, worker) for every task below `tasks`, each once, on up to `threads` threads,
// the caller among them; returns when all are done. Workers are numbered from 0, the caller is 0.
// An exception of the work is thrown again here, after the other tasks have ended.
//
// Helpers are started when first needed and kept. Any number of calls may run at once and share
// them; a call never waits for one that is busy elsewhere, since the caller does what nobody takes.
// A forked child starts its own.
void run_tasks(u32 threads, u32 tasks, void (*work)(void* self, u32 task, u32 worker), void* self);

template <class Work>
void run_tasks(u32 threads, u32 tasks, Work&& work) {
  using Plain = std::remove_reference_t<Work>;
  run_tasks(
      threads, tasks,
      [](void* self, u32 task, u32 worker) { (*static_cast<Plain*>(self))(task, worker); }, &work);
}

// How many of `threads` are worth waking to code that many elements: one for each 50 microseconds.
inline u32 threads_for(std::size_t elements, u32 threads) {
  const std::size_t useful = elements / 32768 + 1;
  return useful < threads ? u32(useful) : threads;
}

// Ends the helpers, for good; later calls run on their callers' threads alone.
void stop_helpers();

constexpr u32 kMaxThreads = 64;

}  // namespace fcmrt::cpu
