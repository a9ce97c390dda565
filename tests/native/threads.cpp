// Several callers at once, each on several threads, share a problem's memory: for ThreadSanitizer.
//
//   threads COUNT SEED
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "problem.hpp"

namespace {

constexpr int kCallers = 3;

// Returns how many of the callers got a wrong answer.
int race(const Problem& problem) {
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&] {
      if (!check(problem).empty()) ++failures;
    });
  }
  for (std::thread& caller : callers) caller.join();
  return failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: threads COUNT SEED\n");
    return 2;
  }
  std::mt19937 random(static_cast<unsigned>(std::atoi(argv[2])));
  int failures = 0;
  int searches[5] = {};
  for (int i = 0; i < std::atoi(argv[1]); ++i) {
    std::vector<std::uint8_t> bytes(80);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    bytes[0] = static_cast<std::uint8_t>(i);  // every function in turn
    Problem problem(bytes.data(), bytes.size());
    problem.tuning.work_per_thread = 1;  // otherwise small problems stay on one thread
    problem.threads = 2 + i % 3;
    failures += race(problem);
    ++searches[static_cast<int>(problem.function)];
  }
  std::printf("topk %d, radius %d, distance %d, pack %d, rescore %d problems; %d wrong answers\n",
              searches[0], searches[1], searches[2], searches[3], searches[4], failures);
  return failures == 0 ? 0 : 1;
}
