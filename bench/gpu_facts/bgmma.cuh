// How fast wgmma on bits is.
#pragma once

#include "wgmma.cuh"

constexpr int kGroupThreads = 128;
constexpr int kInFlight = 8;  // multiplies to a wait

template <int kColumns, class A>
__global__ void __launch_bounds__(kGroupThreads)
    bgmma(u32* out, Span* span, int iterations, u32 seed) {
  __shared__ __align__(1024) u32 shared[(kColumns + 64) * 8];
  for (int i = static_cast<int>(threadIdx.x); i < (kColumns + 64) * 8; i += kGroupThreads) {
    shared[i] = seed * (i + 1) * 2654435761u;
  }
  fence_async_proxy();
  __syncthreads();
  const u64 b = descriptor(shared, 128, 256, 0);
  const u32 a0 = seed * threadIdx.x;
  const InRegisters in_registers = {a0, a0 ^ 99, a0 + 7, a0 * 3};
  const InShared in_shared = descriptor(shared + kColumns * 8, 128, 256, 0);
  i32 d[kColumns / 2] = {};
  wgmma_fence();
  const Stopwatch watch(span);
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      if constexpr (sizeof(A) == sizeof(InShared)) {
        multiply(d, in_shared, b, 1);
      } else {
        multiply(d, in_registers, b, 1);
      }
    }
    wgmma_commit();
    wgmma_wait();
    wgmma_fence();
  }
  watch.stop();
  u32 sum = 0;
  for (int i = 0; i < kColumns / 2; ++i) sum ^= static_cast<u32>(d[i]);
  keep(sum, out);
}

template <int kColumns, class A>
void measure_bgmma(Object& object, const Device& device) {
  constexpr int kIterations = 2000;
  for (const int groups : {1, 2, 4}) {
    if (groups * kColumns > 512) continue;  // registers
    const double ms = milliseconds([&] {
      bgmma<kColumns, A><<<device.multiprocessors * groups, kGroupThreads>>>(
          device.out, device.span, kIterations, 12345);
    });
    const double multiplies =
        static_cast<double>(device.multiprocessors) * groups * kIterations * kInFlight;
    const std::string name = "n" + std::to_string(kColumns) +
                             (sizeof(A) == sizeof(InShared) ? ", A shared, " : ", A registers, ") +
                             std::to_string(groups) + " warpgroups";
    rate(object, device, name, multiplies * 64 * kColumns * 256, ms);
  }
}
