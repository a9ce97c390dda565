// The ordered list of backends: enumerable, nameable, testable against each other.
#pragma once

#include <vector>

#include "../hamming.hpp"

namespace hamming {

// The backends this build has, best first.
struct BackendEntry {
  const Backend* backend;
  bool supported;  // by the CPU this process runs on
};

const std::vector<BackendEntry>& all_backends();

}  // namespace hamming
