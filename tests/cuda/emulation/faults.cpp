#include "faults.hpp"

namespace emulated {
namespace {

// Handlers have a stack of their own: the fault may be that a fibre's is full.
char handler_stack[64 * 1024];

void handle(int number, siginfo_t* info, void*) {
  if (!in_kernel()) {  // no kernel's fault: let it end the process, as it would have
    signal(number, SIG_DFL);
    return;
  }
  if (number == SIGFPE) fail("an integer is divided by zero");
  fail("no memory may be used at address %p", info->si_addr);
}

}  // namespace

Faults::Faults() {
  stack_t stack{};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof handler_stack;
  sigaltstack(&stack, &stack_before_);
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // the handler does not return
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &action, &before_[i]);
}

Faults::~Faults() {
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before_[i], nullptr);
  sigaltstack(&stack_before_, nullptr);
}

}  // namespace emulated
