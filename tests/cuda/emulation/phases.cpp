// mbarrier: its state is the 64 bits in shared memory, as on a GPU, so a kernel can overwrite it.
#include <vector>

#include "shared_memory.hpp"

namespace emulated {
namespace {

constexpr u64 kCount = (1u << 20) - 1;
constexpr u64 kTag = 0xBA44;

// From the lowest bit: arrivals to come, arrivals a phase, the parity of the phase, a tag.
struct State {
  u64 pending : 20;
  u64 expected : 20;
  u64 parity : 1;
  u64 unused : 7;
  u64 tag : 16;
};
static_assert(sizeof(State) == sizeof(u64));

struct Sleeper {
  const void* barrier;
  u32 thread;
};
std::vector<Sleeper> sleepers;

State& state_of(unsigned long long* barrier, const char* what) {
  check_alignment(what, barrier, sizeof(u64));
  if (!is_shared(barrier, sizeof(u64))) fail("%s: %p is not in shared memory", what, barrier);
  State& state = *reinterpret_cast<State*>(barrier);
  if (state.tag != kTag) fail("%s: the barrier has not been initialised, or was overwritten", what);
  return state;
}

}  // namespace

void reset_phases() { sleepers.clear(); }

void init_barrier(unsigned long long* barrier, unsigned count) {
  check_alignment("mbarrier_init", barrier, sizeof(u64));
  if (!is_shared(barrier, sizeof(u64))) fail("mbarrier_init: %p is not in shared memory", barrier);
  if (count == 0 || count > kCount) fail("mbarrier_init: a count of %u", count);
  *reinterpret_cast<State*>(barrier) = {count, count, 0, 0, kTag};
}

void arrive(unsigned long long* barrier) {
  State& state = state_of(barrier, "mbarrier_arrive");
  if (--state.pending == 0) {
    state.pending = state.expected;
    state.parity ^= 1;
    std::erase_if(sleepers, [barrier](const Sleeper& sleeper) {
      if (sleeper.barrier == barrier) wake(sleeper.thread);
      return sleeper.barrier == barrier;
    });
  }
  interleave();
}

void wait_phase(unsigned long long* barrier, unsigned parity) {
  if (parity > 1) fail("mbarrier_wait: a parity of %u", parity);
  // Looked at again after every phase: one that has ended may be two phases ago by now.
  while (state_of(barrier, "mbarrier_wait").parity == parity) {
    sleepers.push_back({barrier, this_thread()});
    sleep({{"mbarrier_wait", "", 0},
           " for parity %llu at shared address %#llx",
           {parity, window_address(barrier)}});
  }
  interleave();
}

}  // namespace emulated
