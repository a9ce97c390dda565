// The functions of csrc/cuda/ptx.cuh over the emulation; what each one does is said there.
#pragma once

#include "runtime.hpp"

// Inlined as on a GPU: registers that an asynchronous multiply reads must outlive the function that
// issues it.
#define HAMMING_DEVICE inline __attribute__((always_inline))

HAMMING_DEVICE u8* dynamic_shared() { return emulated::dynamic_memory(); }
HAMMING_DEVICE u32 shared_address(const void* pointer) { return emulated::window_address(pointer); }

HAMMING_DEVICE void mma_and_popc(i32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1,
                                 const i32 (&c)[4]) {
  for (int i = 0; i < 4; ++i) d[i] = c[i];
  emulated::multiply(d, a, b0, b1);
}

template <int kCount>
HAMMING_DEVICE void hold(i32 (&)[kCount]) {}

template <int kBytes>
HAMMING_DEVICE void copy_async(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "the sizes of cp.async");
  emulated::copy(shared, global, kBytes);
}
HAMMING_DEVICE void copy_async_commit() { emulated::commit_copies(); }
template <int kPending>
HAMMING_DEVICE void copy_async_wait() {
  emulated::wait_copies(kPending);
}

HAMMING_DEVICE void named_barrier(int number, int n_threads) {
  emulated::meet_threads(number, n_threads);
}

HAMMING_DEVICE void mbarrier_init(u64* barrier, u32 count) {
  emulated::init_barrier(barrier, count);
}
HAMMING_DEVICE void mbarrier_arrive(u64* barrier) { emulated::arrive(barrier); }
HAMMING_DEVICE void mbarrier_wait(u64* barrier, u32 parity) {
  emulated::wait_phase(barrier, parity);
}

#ifdef HAMMING_WGMMA

HAMMING_DEVICE void fence_async_proxy() { emulated::publish_copies(); }
HAMMING_DEVICE void wgmma_fence() { emulated::fence_multiplies(); }
HAMMING_DEVICE void wgmma_commit() { emulated::commit_multiplies(); }
template <int kPending>
HAMMING_DEVICE void wgmma_wait() {
  emulated::wait_multiplies(kPending);
}

template <int kCount>
HAMMING_DEVICE void give_registers() {}
template <int kCount>
HAMMING_DEVICE void take_registers() {}

HAMMING_DEVICE void wgmma_and_popc(i32 (&d)[64], const u32 (&a)[4], u64 b, u32 accumulate) {
  emulated::issue_multiply(d, a, b, accumulate != 0);
}

#endif  // HAMMING_WGMMA
