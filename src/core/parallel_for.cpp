#include "core/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <sched.h>

namespace onnxport {
namespace {

using Body = std::function<void(std::int64_t, std::int64_t)>;

/// More ranges than threads, so that a thread that got easy ones takes over work from the others.
constexpr std::int64_t kRangesPerThread = 4;

/// Set while this thread works on a range: calls of parallel_for inside run inline.
thread_local bool inside_parallel_for = false;

/// One call of parallel_for: ranges that threads take until none is left.
class Job {
 public:
  Job(std::int64_t count, std::int64_t ranges, const Body& body) : count_(count), ranges_(ranges), body_(body) {}

  void work() {
    inside_parallel_for = true;
    for (std::int64_t range = next_.fetch_add(1); range < ranges_; range = next_.fetch_add(1)) run(range);
    inside_parallel_for = false;
  }

  /// To be called when no thread works on the job any more.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::int64_t boundary(std::int64_t range) const {
    return (count_ / ranges_) * range + std::min(range, count_ % ranges_);
  }

  void run(std::int64_t range) {
    try {
      body_(boundary(range), boundary(range + 1));
    } catch (...) {
      const std::scoped_lock lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(ranges_);
    }
  }

  std::int64_t count_;
  std::int64_t ranges_;
  const Body& body_;
  std::atomic<std::int64_t> next_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

/// Threads that sleep until there is a job. One job at a time.
class ThreadPool {
 public:
  static ThreadPool& instance() {
    static ThreadPool pool(thread_count() - 1);
    return pool;
  }

  ~ThreadPool() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// Runs `job` on the workers and on the caller; false (and nothing done) while they have another one.
  bool run(Job& job) {
    {
      const std::scoped_lock lock(mutex_);
      if (job_ != nullptr) return false;
      job_ = &job;
      ++generation_;
    }
    wake_.notify_all();
    job.work();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;  // workers that wake up later find no job: the caller's stack frame is about to go
    return true;
  }

 private:
  explicit ThreadPool(int workers) {
    try {
      for (int worker = 0; worker < workers; ++worker) workers_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
      // The system gives no more threads: go on with those that there are.
    }
  }

  void serve() {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stopping_ || (job_ != nullptr && generation_ != seen); });
      if (stopping_) return;
      seen = generation_;
      Job& job = *job_;
      ++busy_;
      lock.unlock();
      job.work();
      lock.lock();
      if (--busy_ == 0) idle_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  Job* job_ = nullptr;
  std::uint64_t generation_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace

int thread_count() {
  static const int count = [] {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    // Fails on machines with more cores than a cpu_set_t holds.
    if (::sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(CPU_COUNT(&cores), 1);
    return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
  }();
  return count;
}

void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  const std::int64_t ranges = std::min(count / std::max<std::int64_t>(grain, 1), thread_count() * kRangesPerThread);
  if (ranges <= 1 || thread_count() == 1 || inside_parallel_for) {
    body(0, count);
    return;
  }
  Job job(count, ranges, body);
  if (!ThreadPool::instance().run(job)) {
    body(0, count);
    return;
  }
  job.rethrow();
}

}  // namespace onnxport
