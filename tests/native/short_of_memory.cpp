// parallel_for where one allocation after another fails: either all tasks have run, or the caller
// learns of it by an exception. Threads that already run must not take the process with them.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "cpu/parallel.hpp"

namespace {

std::atomic<int> before_failing{-1};  // allocations; negative: none fails

}  // namespace

void* operator new(std::size_t size) {
  if (before_failing.load() >= 0 && before_failing.fetch_sub(1) == 0) throw std::bad_alloc();
  void* memory = std::malloc(size != 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main() {
  constexpr int kTasks = 100;
  int n_refused = 0, n_wrong = 0;
  for (int failing = 0; failing < 12; ++failing) {
    std::atomic<int> n_run{0};
    before_failing = failing;
    try {
      hamming::parallel_for(kTasks, 4, [&](std::int64_t) { ++n_run; });
      n_wrong += n_run != kTasks;
    } catch (const std::bad_alloc&) {
      ++n_refused;
    }
    before_failing = -1;
  }
  std::printf("%d refused, %d wrong\n", n_refused, n_wrong);
  return n_wrong != 0;
}
