// The only room that knows about threads.
#pragma once

#include <cstdint>
#include <functional>

namespace hamming {

// Runs task(0) ... task(n_tasks - 1), each once, on at most n_threads threads including the
// caller's. Threads live for this call only: nothing spins between calls and a fork finds nothing
// to break. If a task throws, the others finish or are not started, and the first exception is
// rethrown here.
void parallel_for(std::int64_t n_tasks, int n_threads,
                  const std::function<void(std::int64_t)>& task);

}  // namespace hamming
