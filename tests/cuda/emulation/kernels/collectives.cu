// What threads do together, rightly and wrongly.
#include "ptx.cuh"

constexpr u32 kAll = 0xFFFFFFFFu;

extern "C" __global__ void __launch_bounds__(64) shuffles(i32* out) {
  const i32 lane = threadIdx.x % 32;
  const i32 value = 100 * static_cast<i32>(threadIdx.x / 32) + lane;
  out += 8 * threadIdx.x;
  out[0] = __shfl_sync(kAll, value, 5);
  out[1] = __shfl_sync(kAll, value, lane + 1, 8);
  out[2] = __shfl_up_sync(kAll, value, 3);
  out[3] = __shfl_down_sync(kAll, value, 3, 16);
  out[4] = __shfl_xor_sync(kAll, value, 7);
  out[5] = static_cast<i32>(__ballot_sync(kAll, lane % 3 == 0));
  out[6] = __any_sync(kAll, lane == 31) + 2 * __all_sync(kAll, lane > 0);
  out[7] = static_cast<i32>(__shfl_sync(kAll, 0x100000000ll * lane, 9) >> 32);
}

extern "C" __global__ void matches(u32* out) {
  const u32 lane = threadIdx.x % 32;
  out[threadIdx.x] = __match_any_sync(kAll, lane % 5 + threadIdx.x / 32);
}

// Half a warp meets on its own before all of it does.
extern "C" __global__ void half_warp(u32* out) {
  u32 low = 0;
  if (threadIdx.x < 16) low = __shfl_xor_sync(0xFFFFu, threadIdx.x, 1);
  out[threadIdx.x] = low + __ballot_sync(kAll, threadIdx.x == 20);
}

extern "C" __global__ void different_collectives(u32* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __ballot_sync(kAll, 1);
  } else {
    out[threadIdx.x] = __shfl_sync(kAll, 1u, 0);
  }
}

extern "C" __global__ void different_masks(u32* out) {
  out[threadIdx.x] = __ballot_sync(threadIdx.x < 16 ? kAll : 0xFFFF8000u, 1);
}

extern "C" __global__ void mask_without_caller(u32* out) {
  out[threadIdx.x] = __ballot_sync(0xFFFFu, 1);
}

extern "C" __global__ void lane_has_ended(u32* out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __ballot_sync(kAll, 1);
}

extern "C" __global__ void barrier_counts(i32* out) {
  if (threadIdx.x == 3) return;  // a barrier waits for those that have not ended
  const i32 odd = __syncthreads_count(threadIdx.x & 1);
  out[threadIdx.x] = odd + 1000 * __syncthreads_or(threadIdx.x == 40) + 2000 * __syncthreads_or(0) +
                     4000 * __syncthreads_and(1) + 8000 * __syncthreads_and(threadIdx.x != 40);
}

// Reads what an earlier warp wrote: without the barrier right when warps run in turn, and never
// else.
extern "C" __global__ void neighbours(u32* out) {
  __shared__ u32 values[256];
  values[threadIdx.x] = threadIdx.x;
#ifndef WITHOUT_BARRIER
  __syncthreads();
#endif
  out[threadIdx.x] = values[threadIdx.x < 32 ? threadIdx.x : threadIdx.x - 32];
}

// Warps 0 and 1 hand values to warps 2 and 3, and all know of it by named barriers alone.
extern "C" __global__ void handed_over(u32* out) {
  u32* const values = reinterpret_cast<u32*>(dynamic_shared());
  const u32 thread = threadIdx.x % 64;
  for (u32 round = 0; round < 3; ++round) {
    if (threadIdx.x < 64) {
      if (round > 0) named_barrier(2, 128);
      values[thread] = 10 * thread + round;
      named_barrier(1, 128);
    } else {
      named_barrier(1, 128);
      out[64 * round + thread] = values[63 - thread];
      if (round < 2) named_barrier(2, 128);
    }
  }
}

extern "C" __global__ void stuck() {
  __shared__ u64 barrier;
  if (threadIdx.x == 0) mbarrier_init(&barrier, 1);
  __syncthreads();
  if (threadIdx.x < 32) mbarrier_wait(&barrier, 0);
  if (threadIdx.x >= 64) named_barrier(3, 256);
  __syncthreads();
}
