// mma.sync on bits: 16 x 8 products of kBits bits a warp.
#pragma once

#include "measure.cuh"

constexpr int kBmmaThreads = 256;

template <int kBits, int kAccumulators>
__global__ void __launch_bounds__(kBmmaThreads)
    bmma(u32* out, Span* span, int iterations, u32 seed) {
  i32 d[kAccumulators][4] = {};
  const u32 a0 = seed * threadIdx.x, a1 = a0 ^ 0x9e3779b9, a2 = a0 + 77, a3 = a1 * 3;
  const u32 b0 = seed ^ threadIdx.x, b1 = b0 * 5;
  const Stopwatch watch(span);
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < kAccumulators; ++j) {
      if constexpr (kBits == 256) {
        asm volatile(
            "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+r"(d[j][0]), "+r"(d[j][1]), "+r"(d[j][2]), "+r"(d[j][3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
      } else {
        asm volatile(
            "mma.sync.aligned.m16n8k128.row.col.s32.b1.b1.s32.and.popc "
            "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+r"(d[j][0]), "+r"(d[j][1]), "+r"(d[j][2]), "+r"(d[j][3])
            : "r"(a0), "r"(a1), "r"(b0));
      }
    }
  }
  watch.stop();
  u32 sum = 0;
  for (int j = 0; j < kAccumulators; ++j) {
    for (int e = 0; e < 4; ++e) sum ^= static_cast<u32>(d[j][e]);
  }
  keep(sum, out);
}

template <int kBits, int kAccumulators>
void measure_bmma(Object& object, const Device& device) {
  constexpr int kIterations = 4000, kBlocks = 4;
  const double ms = milliseconds([&] {
    bmma<kBits, kAccumulators><<<device.multiprocessors * kBlocks, kBmmaThreads>>>(
        device.out, device.span, kIterations, 12345);
  });
  const double warps = static_cast<double>(device.multiprocessors) * kBlocks * kBmmaThreads / 32;
  const std::string name =
      "k" + std::to_string(kBits) + ", " + std::to_string(kAccumulators) + " accumulators";
  rate(object, device, name, warps * kIterations * kAccumulators * 16 * 8 * kBits, ms);
}
