#include "pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FCMRT_FORK
#endif

namespace fcmrt::cpu {
namespace {

// One call, on its caller's stack. What is not atomic is under the pool's lock.
struct Job {
  void (*work)(void* self, u32 task, u32 worker);
  void* self;
  u32 tasks;
  u32 threads;
  std::atomic<u32> next = 0;
  u32 workers = 1;  // numbers given out; 0 is the caller's
  u32 inside = 0;   // helpers at work
  std::exception_ptr error = nullptr;

  bool wants_help() const { return workers < threads && next.load() < tasks; }

  std::exception_ptr run(u32 worker) {
    std::exception_ptr first;
    for (u32 task; (task = next.fetch_add(1)) < tasks;) {
      try {
        work(self, task, worker);
      } catch (...) {
        if (!first) first = std::current_exception();
      }
    }
    return first;
  }
};

class Pool {
 public:
  void run(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      start_helpers(job.threads - 1);
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    const std::exception_ptr mine = job.run(0);
    std::unique_lock lock(mutex_);
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    done_.wait(lock, [&] { return job.inside == 0; });
    lock.unlock();
    if (mine) std::rethrow_exception(mine);
    if (job.error) std::rethrow_exception(job.error);
  }

  void stop() {
    std::vector<std::thread> helpers;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      helpers.swap(helpers_);
    }
    wake_.notify_all();
    for (std::thread& helper : helpers) helper.join();
  }

 private:
  // As many as a call can use, or as the system grants.
  void start_helpers(u32 count) {
    if (stopping_) return;
    try {
      while (helpers_.size() < count) helpers_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
    }
  }

  Job* find_job() {
    for (Job* job : jobs_) {
      if (job->wants_help()) return job;
    }
    return nullptr;
  }

  void help() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] { return stopping_ || (job = find_job()); });
      if (!job) return;
      const u32 worker = job->workers++;
      ++job->inside;
      lock.unlock();
      const std::exception_ptr error = job->run(worker);
      lock.lock();
      if (error && !job->error) job->error = error;
      if (--job->inside == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> helpers_;
  std::vector<Job*> jobs_;
  bool stopping_ = false;
};

// Never destroyed: a thread that the interpreter has left behind may still use it at exit.
std::atomic<Pool*> the_pool = nullptr;

Pool& pool() {
  Pool* found = the_pool.load();
  if (found) return *found;
  Pool* const made = new Pool;
  if (the_pool.compare_exchange_strong(found, made)) return *made;
  delete made;
  return *found;
}

#if defined(FCMRT_FORK)
// A child has none of its parent's helpers, and their lock may be held for ever.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
#endif

}  // namespace

void run_tasks(u32 threads, u32 tasks, void (*work)(void* self, u32 task, u32 worker), void* self) {
  threads = std::min({threads, tasks, kMaxThreads});
  Job job{work, self, tasks, threads};
  if (threads > 1) return pool().run(job);
  if (const std::exception_ptr error = job.run(0)) std::rethrow_exception(error);
}

void stop_helpers() {
  if (Pool* const found = the_pool.load()) found->stop();
}

}  // namespace fcmrt::cpu
