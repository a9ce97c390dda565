// Memory of all kinds, and what goes wrong with it.
#include "ptx.cuh"

struct Numbers {
  u64 large;
  i32 small;
};

extern "C" __global__ void sizes(const Numbers numbers, u64* out, float real, const u8* nothing) {
  out[0] = numbers.large;
  out[1] = static_cast<u64>(numbers.small);
  out[2] = __float_as_uint(real);
  out[3] = nothing == nullptr;
}

extern "C" __global__ void blocks(u32* out) {
  if (threadIdx.x > 0) return;
  const u32 block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  atomicAdd(out + block, 1 + blockDim.x);
}

// Every block finds all its shared memory fresh.
extern "C" __global__ void fresh(u32* out) {
  __shared__ u32 value;
  __shared__ u64 other;
  u32* const dynamic = reinterpret_cast<u32*>(dynamic_shared());
  out[3 * blockIdx.x] = value;
  out[3 * blockIdx.x + 1] = static_cast<u32>(other >> 32);
  out[3 * blockIdx.x + 2] = dynamic[blockIdx.x];
  value = dynamic[blockIdx.x] = dynamic[blockIdx.x + 1] = 7;
  other = 8;
}

extern "C" __global__ void addresses(u32* out) {
  __shared__ u64 variable;
  out[0] = shared_address(dynamic_shared()) % 32;
  out[1] = shared_address(dynamic_shared() + 48) - shared_address(dynamic_shared());
  out[2] = shared_address(&variable) % 8;
}

extern "C" __global__ void misaligned(const u8* bytes, u64* out) {
  out[0] = __ldcs(reinterpret_cast<const uint4*>(bytes + 8)).x;
}
extern "C" __global__ void misaligned_plainly(const u8* bytes, u64* out) {
  out[0] = reinterpret_cast<const uint4*>(bytes + 8)->x;
}
extern "C" __global__ void misaligned_copy(const u8* bytes, u64*) {
  copy_async<16>(dynamic_shared(), bytes + 8);
}
extern "C" __global__ void overrun(const u8*, u64* out) { dynamic_shared()[out[1]] = 1; }
extern "C" __global__ void overflow(const u8*, u64* out) {
  i32 sum = 0x7FFFFFFF;
  sum += static_cast<i32>(out[1]);
  out[0] = static_cast<u64>(sum);
}

extern "C" __global__ void divide(i32* values) { values[0] = 100 / values[0]; }

__device__ __noinline__ i32 descend(i32 depth) { return depth == 0 ? 0 : descend(depth + 1) + 1; }
extern "C" __global__ void deep(i32* values) { values[0] = descend(values[0]); }

// Copies two words, and reads them after kWait: 0 nothing, 1 the first group, 2 both groups.
extern "C" __global__ void copies(const u64* words, u64* out) {
  u64* const shared = reinterpret_cast<u64*>(dynamic_shared());
  copy_async<8>(shared, words);
  copy_async_commit();
  copy_async<8>(shared + 1, words + 1);
  copy_async_commit();
#if WAIT == 1
  copy_async_wait<1>();
#elif WAIT == 2
  copy_async_wait<0>();
#endif
  out[0] = shared[0];
  out[1] = shared[1];
}

// Warp 0 fills a ring of two stages that warps 1..3 sum up.
extern "C" __global__ void ring(const u32* values, u32* out, i32 n) {
  __shared__ u64 full[2], empty[2];
  __shared__ u32 stages[2][32];
  if (threadIdx.x == 0) {
    for (i32 stage = 0; stage < 2; ++stage) {
      mbarrier_init(full + stage, 32);
      mbarrier_init(empty + stage, 96);
    }
  }
  __syncthreads();
  u32 sum = 0;
  for (i32 i = 0; i < n; ++i) {
    const i32 stage = i % 2;
    const u32 parity = i / 2 % 2;
    if (threadIdx.x < 32) {
#ifndef WITHOUT_EMPTY
      mbarrier_wait(empty + stage, parity ^ 1);
#endif
      stages[stage][threadIdx.x] = values[32 * i + threadIdx.x];
      mbarrier_arrive(full + stage);
    } else {
#ifndef WITHOUT_FULL
      mbarrier_wait(full + stage, parity);
#endif
      sum += stages[stage][(threadIdx.x + 1) % 32];
      mbarrier_arrive(empty + stage);
    }
  }
  out[threadIdx.x] = sum;
}
