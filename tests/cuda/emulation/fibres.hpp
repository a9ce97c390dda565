// Stacks of their own for the threads of a block, switched without the kernel's help.
#pragma once

#ifndef __x86_64__
#define EMULATED_UCONTEXT
#endif

#ifdef EMULATED_UCONTEXT
#include <ucontext.h>
#endif

#include <cstddef>
#include <vector>

namespace emulated {

constexpr std::size_t kStackBytes = 64 * 1024;

// Where a fibre, or the caller that runs them all, goes on.
class Context {
 public:
  // The next switch to this context calls `entry`, which must never return.
  void start(std::byte* stack, void (*entry)());
  // Keeps the present here, and goes on in `next`.
  void switch_to(Context& next);

 private:
#ifdef EMULATED_UCONTEXT
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

// Stacks are mapped when first asked for and kept for the next block. A page ahead of each may not
// be touched: a stack that overflows is a fault, not another thread's variables.
class Stacks {
 public:
  // The lowest byte of kStackBytes.
  std::byte* at(std::size_t number);

 private:
  std::vector<std::byte*> stacks_;
};

}  // namespace emulated
