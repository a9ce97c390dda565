// A kernel that leaves its memory fails its launch, not the process.
#pragma once

#include <signal.h>

#include "scheduler.hpp"

namespace emulated {

// Signals of the hardware are failures of the running thread for as long as this lives.
class Faults {
 public:
  Faults();
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

 private:
  static constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};

  struct sigaction before_[3];
  stack_t stack_before_;
};

}  // namespace emulated
