// The threads of one block at a time: who is ready, who sleeps on what, who runs next.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fibres.hpp"
#include "runtime.hpp"

namespace emulated {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 kMaxThreads = 1024;
constexpr u32 kMaxWarps = kMaxThreads / kWarp;

class Random {
 public:
  explicit Random(u64 seed) : state_(seed) {}
  u64 operator()();
  u32 below(u32 end) { return static_cast<u32>(((*this)() >> 32) * end >> 32); }

 private:
  u64 state_;
};

// Why a thread sleeps: `details` is a printf format of up to two numbers.
struct Wait {
  Site site;
  const char* details = "";
  unsigned long long numbers[2] = {};
};

// When asynchronous work happens between its issue and its wait.
enum class Timing { kLate, kEarly, kMixed };
// Which warp runs next: the one that ran; any, and any of its lanes; or the first of an order that
// changes now and then, so that some warps run far ahead of others.
enum class Schedule { kInTurn, kAny, kRanked };

struct Launch {
  dim3 grid;
  u32 n_threads;
  std::size_t shared_bytes;
  u64 seed;
  const u8* static_begin;  // the kernel's __shared__ variables
  const u8* static_end;
  void (*body)(void*);
  void* argument;

  u32 n_warps() const { return (n_threads + kWarp - 1) / kWarp; }
};

// Writes the message that the launch returns; `fail` does so and leaves the thread.
void report(const char* format, ...) __attribute__((format(printf, 1, 2)));
bool failed();
const char* take_message();  // and forget it

// Runs all threads of the block; false where one failed, or all that are left sleep.
bool run_block(const Launch& launch, Random& random);

bool in_kernel();
const Launch& launch();
Random& random();
u32 this_thread();
u32 this_warp();
u32 this_lane();

// Whether asynchronous work that is issued now happens at once.
bool happens_early();

// Sleeps until someone wakes this thread.
void sleep(const Wait& why);
void wake(u32 thread);
void wake_lanes(u32 warp, u32 lanes);
// Threads that have not ended.
u32 living_lanes(u32 warp);
u32 n_living();

// What the other files hear: a block begins, a thread has ended, all have.
void reset_meetings();
void reset_phases();
void reset_copies();
void reset_multiplies();
void meetings_without(u32 thread);
void check_multiplies();

}  // namespace emulated
