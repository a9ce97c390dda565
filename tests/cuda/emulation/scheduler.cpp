#include "scheduler.hpp"

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulated {
namespace {

struct Fibre {
  Context context;
  Wait wait;
};

struct Block {
  const Launch* launch = nullptr;
  Random* random = nullptr;
  Schedule schedule = Schedule::kInTurn;
  Timing timing = Timing::kLate;
  Context caller;
  Fibre fibres[kMaxThreads];
  u32 ready_lanes[kMaxWarps];  // of a warp; the thread that runs is not among them
  u32 ready_warps;
  u32 living[kMaxWarps];
  u32 order[kMaxWarps];  // of the ranked schedule
  u32 running;
  u32 n_living;
  bool in_kernel;
};

Block block;
Stacks stacks;
char message[4096];

void mark_ready(u32 thread) {
  block.ready_lanes[thread / kWarp] |= 1u << thread % kWarp;
  block.ready_warps |= 1u << thread / kWarp;
}

// The first set bit from a place on, cyclically.
u32 bit_from(u32 bits, u32 place) {
  return (static_cast<u32>(std::countr_zero(std::rotr(bits, static_cast<int>(place)))) + place) %
         32;
}

u32 ranked_warp() {
  Random& random = *block.random;
  const u32 n_warps = block.launch->n_warps();
  if (random.below(64) == 0) std::swap(block.order[0], block.order[random.below(n_warps)]);
  for (u32 i = 0;; ++i) {
    if (block.ready_warps >> block.order[i] & 1) return block.order[i];
  }
}

u32 next_thread() {
  Random& random = *block.random;
  u32 warp = 0;
  if (block.schedule == Schedule::kInTurn) {
    warp = bit_from(block.ready_warps, block.running / kWarp);
  } else if (block.schedule == Schedule::kAny) {
    warp = bit_from(block.ready_warps, random.below(kMaxWarps));
  } else {
    warp = ranked_warp();
  }
  const u32 first = block.schedule == Schedule::kInTurn ? 0 : random.below(kWarp);
  const u32 lane = bit_from(block.ready_lanes[warp], first);
  block.ready_lanes[warp] &= ~(1u << lane);
  if (block.ready_lanes[warp] == 0) block.ready_warps &= ~(1u << warp);
  return warp * kWarp + lane;
}

void run_next(Context& present) {
  const u32 next = next_thread();
  if (&present == &block.fibres[next].context) return;
  block.running = next;
  threadIdx.x = next;
  present.switch_to(block.fibres[next].context);
}

std::string describe(const Wait& wait) {
  char details[128];
  std::snprintf(details, sizeof details, wait.details, wait.numbers[0], wait.numbers[1]);
  const std::string text = std::string(wait.site.what) + details;
  if (wait.site.line == 0) return text;
  const std::string file = wait.site.file;
  return text + " at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(wait.site.line);
}

// One line for each run of threads that wait for the same.
[[noreturn]] void deadlock() {
  std::string lines;
  u32 first = 0;
  std::string same;
  for (u32 thread = 0; thread <= block.launch->n_threads; ++thread) {
    const bool lives = thread < block.launch->n_threads &&
                       (block.living[thread / kWarp] >> thread % kWarp & 1) != 0;
    std::string text = lives ? describe(block.fibres[thread].wait) : "";
    if (text == same) continue;
    if (!same.empty()) {
      lines += "\n  threads " + std::to_string(first) + ".." + std::to_string(thread - 1) +
               " wait in " + same;
    }
    first = thread;
    same = std::move(text);
  }
  fail("deadlock: every thread that has not ended waits%s", lines.c_str());
}

void end_thread() {
  const u32 thread = block.running;
  block.living[thread / kWarp] &= ~(1u << thread % kWarp);
  --block.n_living;
  meetings_without(thread);
  Context& present = block.fibres[thread].context;
  if (block.n_living == 0) present.switch_to(block.caller);
  if (block.ready_warps == 0) deadlock();
  run_next(present);
}

void thread_main() {
  block.launch->body(block.launch->argument);
  end_thread();
  std::abort();
}

void begin(const Launch& launch, Random& random) {
  block.launch = &launch;
  block.random = &random;
  block.schedule = launch.seed == 0 ? Schedule::kInTurn : static_cast<Schedule>(random.below(3));
  block.timing = launch.seed == 0 ? Timing::kLate : static_cast<Timing>(random.below(3));
  std::iota(block.order, block.order + kMaxWarps, 0u);
  for (u32 i = 0; i < launch.n_warps(); ++i) {
    std::swap(block.order[i], block.order[random.below(launch.n_warps())]);
  }
  std::fill_n(block.ready_lanes, kMaxWarps, 0u);
  std::fill_n(block.living, kMaxWarps, 0u);
  block.ready_warps = 0;
  block.running = 0;
  block.n_living = launch.n_threads;
  for (u32 thread = 0; thread < launch.n_threads; ++thread) {
    block.fibres[thread].context.start(stacks.at(thread), thread_main);
    block.living[thread / kWarp] |= 1u << thread % kWarp;
    mark_ready(thread);
  }
}

}  // namespace

u64 Random::operator()() {  // splitmix64
  state_ += 0x9E3779B97F4A7C15u;
  u64 x = state_;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

void report(const char* format, ...) {
  if (failed()) return;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
}

bool failed() { return message[0] != 0; }

const char* take_message() {
  static char taken[sizeof message];
  std::swap_ranges(message, message + sizeof message, taken);
  message[0] = 0;
  return taken;
}

void fail(const char* format, ...) {
  char text[3500];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report("block (%u, %u, %u), thread %u: %s", blockIdx.x, blockIdx.y, blockIdx.z, block.running,
         text);
  block.fibres[block.running].context.switch_to(block.caller);
  std::abort();
}

bool run_block(const Launch& launch, Random& random) {
  begin(launch, random);
  reset_meetings();
  reset_phases();
  reset_copies();
  reset_multiplies();
  block.in_kernel = true;
  run_next(block.caller);
  block.in_kernel = false;
  if (!failed()) check_multiplies();
  return !failed();
}

bool in_kernel() { return block.in_kernel; }
const Launch& launch() { return *block.launch; }
Random& random() { return *block.random; }
u32 this_thread() { return block.running; }
u32 this_warp() { return block.running / kWarp; }
u32 this_lane() { return block.running % kWarp; }
u32 living_lanes(u32 warp) { return block.living[warp]; }
u32 n_living() { return block.n_living; }

bool happens_early() {
  return block.timing == Timing::kEarly ||
         (block.timing == Timing::kMixed && block.random->below(2) == 0);
}

void sleep(const Wait& why) {
  Fibre& fibre = block.fibres[block.running];
  fibre.wait = why;
  if (block.ready_warps == 0) deadlock();
  run_next(fibre.context);
}

void wake(u32 thread) { mark_ready(thread); }

void wake_lanes(u32 warp, u32 lanes) {
  block.ready_lanes[warp] |= lanes;
  if (lanes != 0) block.ready_warps |= 1u << warp;
}

void interleave() {
  if (block.schedule == Schedule::kInTurn || block.random->below(4) != 0) return;
  mark_ready(block.running);
  run_next(block.fibres[block.running].context);
}

}  // namespace emulated
