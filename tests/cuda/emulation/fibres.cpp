#include "fibres.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace emulated {

std::byte* Stacks::at(std::size_t number) {
  while (stacks_.size() <= number) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* mapped = mmap(nullptr, page + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED || mprotect(mapped, page, PROT_NONE) != 0) std::abort();
    stacks_.push_back(static_cast<std::byte*>(mapped) + page);
  }
  return stacks_[number];
}

#ifndef EMULATED_UCONTEXT

// swapcontext saves the signal mask, which takes a call of the operating system: a microsecond.
// Here the registers that a function must preserve are all there is to save.
extern "C" void emulated_switch(void** save, void* restore);
asm(R"(
  .text
  .hidden emulated_switch
  .globl emulated_switch
  .type emulated_switch, @function
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size emulated_switch, .-emulated_switch
)");

void Context::start(std::byte* stack, void (*entry)()) {
  // Stacks are pages apart: without a shift all of them would compete for the same cache lines.
  const std::size_t shift = reinterpret_cast<std::size_t>(stack) / kStackBytes % 32 * 128;
  auto* top = reinterpret_cast<void**>(stack + kStackBytes - shift);
  *--top = nullptr;  // the return address of `entry`, which puts its frame where calls put theirs
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  stack_pointer_ = top;
}

void Context::switch_to(Context& next) { emulated_switch(&stack_pointer_, next.stack_pointer_); }

#else

void Context::start(std::byte* stack, void (*entry)()) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
}

void Context::switch_to(Context& next) { swapcontext(&context_, &next.context_); }

#endif

}  // namespace emulated
