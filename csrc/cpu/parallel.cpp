#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace hamming {

void parallel_for(std::int64_t n_tasks, int n_threads,
                  const std::function<void(std::int64_t)>& task) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr first_error;
  std::mutex error_lock;
  const auto work = [&] {
    for (std::int64_t i = next.fetch_add(1); i < n_tasks; i = next.fetch_add(1)) {
      try {
        task(i);
      } catch (...) {
        const std::lock_guard<std::mutex> guard(error_lock);
        if (!first_error) first_error = std::current_exception();
        next.store(n_tasks);
      }
    }
  };
  std::vector<std::thread> helpers;
  const std::int64_t n_helpers = std::min<std::int64_t>(n_threads, n_tasks) - 1;
  helpers.reserve(static_cast<std::size_t>(std::max<std::int64_t>(0, n_helpers)));
  try {
    for (std::int64_t i = 0; i < n_helpers; ++i) helpers.emplace_back(work);
  } catch (...) {
    // No more threads, or no memory for one: those that run, and this one, do all the work.
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace hamming
