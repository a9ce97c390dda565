// libFuzzer's entry point: any bytes are a problem, and a wrong answer is a crash.
#include <cstdio>
#include <cstdlib>

#include "problem.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Problem problem(data, size);
  const std::string wrong = check(problem);
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n%s\n", problem.describe().c_str(), wrong.c_str());
    std::abort();
  }
  return 0;
}
