// What the threads of a block find out together. Every thread of the block must call; kThreads of
// them, a multiple of 32.
#pragma once

#include "ptx.cuh"

// The sum of the values of the threads before this one; `total` becomes the sum of all.
template <int kBlockThreads, class Value>
HAMMING_DEVICE Value block_exclusive(Value value, Value& total) {
  constexpr int kBlockWarps = kBlockThreads / 32;
  __shared__ Value totals[kBlockWarps];
  const int lane = static_cast<int>(threadIdx.x & 31), warp = static_cast<int>(threadIdx.x / 32);
  Value inclusive = value;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const Value before = __shfl_up_sync(0xffffffffu, inclusive, distance);
    if (lane >= distance) inclusive += before;
  }
  if (lane == 31) totals[warp] = inclusive;
  __syncthreads();
  Value before_warp = 0;
  total = 0;
#pragma unroll
  for (int w = 0; w < kBlockWarps; ++w) {
    if (w < warp) before_warp += totals[w];
    total += totals[w];
  }
  __syncthreads();  // the totals may be overwritten from here on
  return before_warp + inclusive - value;
}

template <int kBlockThreads, class Value>
HAMMING_DEVICE Value block_sum(Value value) {
  Value total;
  block_exclusive<kBlockThreads>(value, total);
  return total;
}
