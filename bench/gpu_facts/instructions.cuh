// Issue rates of the integer instructions that scans and epilogues are made of.
#pragma once

#include "measure.cuh"

constexpr int kChains = 8;  // independent ones in a thread, so that latency is hidden
constexpr int kUnrolled = 8;
constexpr int kAluThreads = 512;

// Each is one instruction on x. The second operand is a neighbour's x and every result passes
// through `opaque`, or the compilers would fold several into one.
DEVICE void opaque(i32& x) { asm volatile("" : "+r"(x)); }

struct One {
  static constexpr int kCount = 1;
};
struct Popc : One {
  static DEVICE void apply(i32& x, i32, i32) { asm volatile("popc.b32 %0, %0;" : "+r"(x)); }
};
struct Lop3 : One {
  static DEVICE void apply(i32& x, i32 y, i32 z) {
    asm volatile("lop3.b32 %0, %0, %1, %2, 0x96;" : "+r"(x) : "r"(y), "r"(z));
  }
};
// Sums alone would be reordered until fewer are left.
struct Iadd3AndLop3 {
  static constexpr int kCount = 2;
  static DEVICE void apply(i32& x, i32 y, i32 z) {
    asm volatile("{ .reg .s32 t; add.s32 t, %0, %1; add.s32 t, t, %2; xor.b32 %0, t, %1; }"
                 : "+r"(x)
                 : "r"(y), "r"(z));
  }
};
struct Imad : One {
  static DEVICE void apply(i32& x, i32 y, i32 z) {
    asm volatile("mad.lo.s32 %0, %0, %1, %2;" : "+r"(x) : "r"(y), "r"(z));
  }
};
struct Vimnmx3 : One {
  static DEVICE void apply(i32& x, i32 y, i32 z) {
    x = __vimin3_s32(x, y, z);
    opaque(x);
  }
};
struct Viaddmnmx : One {
  static DEVICE void apply(i32& x, i32 y, i32 z) {
    x = __viaddmax_s32(x, y, z);
    opaque(x);
  }
};

template <class Instruction>
__global__ void __launch_bounds__(kAluThreads) alu(u32* out, Span* span, int iterations, u32 seed) {
  i32 x[kChains];
  for (int j = 0; j < kChains; ++j) x[j] = static_cast<i32>(seed * (threadIdx.x + 1) + j * 77);
  const i32 z = static_cast<i32>(seed + threadIdx.x);
  const Stopwatch watch(span);
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int u = 0; u < kUnrolled; ++u) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) Instruction::apply(x[j], x[(j + 1) % kChains], z);
    }
  }
  watch.stop();
  u32 sum = 0;
  for (int j = 0; j < kChains; ++j) sum ^= static_cast<u32>(x[j]);
  keep(sum, out);
}

template <class Instruction>
void measure_alu(Object& object, const Device& device, const char* name) {
  constexpr int kIterations = 2000, kBlocks = 4;
  const double ms = milliseconds([&] {
    alu<Instruction><<<device.multiprocessors * kBlocks, kAluThreads>>>(device.out, device.span,
                                                                        kIterations, 12345);
  });
  const double threads = static_cast<double>(device.multiprocessors) * kBlocks * kAluThreads;
  const double instructions = threads * kIterations * kChains * kUnrolled * Instruction::kCount;
  rate(object, device, name, instructions, ms);
}
