// What kernels' keywords and instructions call. It is compiled apart from the kernels, and includes
// nothing: a kernel's names meet no others than CUDA's.
#pragma once

struct alignas(4) uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// The scheduler sets them whenever it changes the thread.
#define EMULATED_API __attribute__((visibility("default")))
extern EMULATED_API uint3 threadIdx, blockIdx;
extern EMULATED_API dim3 blockDim, gridDim;

namespace emulated {

constexpr unsigned kWarp = 32;
constexpr unsigned kFullMask = 0xFFFFFFFFu;
constexpr unsigned kPoison = 0xA5A5A5A5u;  // what nobody has written

// A place where threads meet. Line 0: threads may come from different places.
struct Site {
  const char* what;
  const char* file;
  int line;
};

// Ends the launch with a message; never returns, and unwinds nothing.
[[noreturn]] EMULATED_API void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Waits for all lanes of the mask at the same site. The last to come runs `finish` over what all of
// them brought, by lane.
using Finish = void (*)(void* const* brought, unsigned mask);
EMULATED_API void meet_warp(const Site& site, unsigned mask, void* brought, Finish finish);

struct Votes {
  unsigned threads;
  unsigned votes;
};
// Waits for every thread of the block that has not ended.
EMULATED_API Votes meet_block(const Site& site, bool vote);
// bar.sync: waits for n_threads in whole warps.
EMULATED_API void meet_threads(int number, int n_threads);

// Where another thread may come in between: shuffled schedules may take another one up here.
EMULATED_API void interleave();

// Fails where an address is not a multiple of `bytes`.
EMULATED_API void check_alignment(const char* what, const volatile void* address, unsigned bytes);

EMULATED_API unsigned char* dynamic_memory();
EMULATED_API unsigned window_address(const void* pointer);

EMULATED_API void copy(void* shared, const void* global, unsigned bytes);
EMULATED_API void commit_copies();
EMULATED_API void wait_copies(unsigned pending);
EMULATED_API void publish_copies();  // to the async proxy

EMULATED_API void init_barrier(unsigned long long* barrier, unsigned count);
EMULATED_API void arrive(unsigned long long* barrier);
EMULATED_API void wait_phase(unsigned long long* barrier, unsigned parity);

EMULATED_API void multiply(int* d, const unsigned* a, unsigned b0, unsigned b1);

EMULATED_API void fence_multiplies();
EMULATED_API void issue_multiply(int* d, const unsigned* a, unsigned long long b, bool accumulate);
EMULATED_API void commit_multiplies();
EMULATED_API void wait_multiplies(unsigned pending);

}  // namespace emulated
