// popc(a & b) of all pairs of rows, by the layouts of wgmma_b1.md. The defines: STEPS of 256 bits,
// the swizzle MODE, and what to do wrongly.
#define HAMMING_WGMMA
#include "ptx.cuh"

#ifndef STEPS
#define STEPS 1
#endif
#ifndef MODE
#define MODE 0
#endif
constexpr u32 kWords = 8 * STEPS;
constexpr u32 kColumns = 128;

extern "C" __global__ void mma(const u32* a, const u32* b, i32* out) {
  const u32 g = threadIdx.x >> 2;
  const u32 t = threadIdx.x & 3;
  i32 d[4] = {};
  for (u32 first = 0; first < kWords; first += 8) {
    const u32* const row = a + g * kWords + first + t;
    const u32* const column = b + g * kWords + first + t;
    const u32 rows[4] = {row[0], row[8 * kWords], row[4], row[8 * kWords + 4]};
    mma_and_popc(d, rows, column[0], column[4], d);
  }
  for (u32 i = 0; i < 4; ++i) out[8 * (g + 8 * (i >> 1)) + 2 * t + (i & 1)] = d[i];
}

// Section 2.4: of a row's 16-byte chunk in the tile, the bytes between k-steps, and the descriptor.
__device__ u32 offset_of(u32 row, u32 chunk) {
  if (MODE == 0) {
    return (chunk >> 1) * 32 * kColumns + 256 * (row >> 3) + 128 * (chunk & 1) + 16 * (row & 7);
  }
  if (MODE == 3) return 32 * row + 16 * (chunk ^ (row >> 2 & 1));
  if (MODE == 2) return 64 * row + 16 * (chunk ^ (row >> 1 & 3));
  return 128 * row + 16 * (chunk ^ (row & 7));
}
constexpr u32 kPitch = MODE == 3 ? 32 : MODE == 2 ? 64 : 128;
constexpr u32 kStep = MODE == 0 ? 32 * kColumns : 32;

__device__ u64 descriptor_of(u32 address) {
  const u64 stride = MODE == 0 ? 256 : 8 * kPitch;
  const u64 leading = MODE == 0 ? 128 : 16;
#ifdef TILE_AHEAD
  address -= TILE_AHEAD;
#endif
#ifdef BASE_OFFSET
  const u64 base_offset = BASE_OFFSET;
#else
  const u64 base_offset = 0;
#endif
  return (address & 0x3FFFF) >> 4 | (leading >> 4) << 16 | (stride >> 4) << 32 | base_offset << 49 |
         static_cast<u64>(MODE) << 62;
}

__device__ void load_tile(u8* tile, const u32* b) {
  for (u32 i = threadIdx.x; i < kColumns * 2 * STEPS; i += 128) {
    const u32 row = i / (2 * STEPS);
    const u32 chunk = i % (2 * STEPS);
    copy_async<16>(tile + offset_of(row, chunk), b + row * kWords + 4 * chunk);
  }
  copy_async_commit();
#ifdef PROXY_FENCE_TOO_EARLY
  fence_async_proxy();
#endif
  copy_async_wait<0>();
#ifndef WITHOUT_PROXY_FENCE
  fence_async_proxy();
#endif
}

__device__ void write(const i32 (&d)[64], i32* out) {
  const u32 lane = threadIdx.x & 31;
  for (u32 i = 0; i < 64; ++i) {
    const u32 row = 16 * (threadIdx.x >> 5) + (lane >> 2) + 8 * (i >> 1 & 1);
    out[kColumns * row + 8 * (i >> 2) + 2 * (lane & 3) + (i & 1)] = d[i];
  }
}

// Two products under way at once: of the rows of `a`, and of the 64 rows after them.
extern "C" __global__ void __launch_bounds__(128) wgmma(const u32* a, const u32* b, i32* out) {
  u8* tile = dynamic_shared();
  while (shared_address(tile) % (8 * kPitch) != 0) tile += 16;
  u32 rows[2][STEPS][4];
  const u32 lane = threadIdx.x & 31;
  for (u32 half = 0; half < 2; ++half) {
    for (u32 step = 0; step < STEPS; ++step) {
      const u32 first = 64 * half + 16 * (threadIdx.x >> 5) + (lane >> 2);
      const u32* const row = a + first * kWords + 8 * step + (lane & 3);
      rows[half][step][0] = row[0];
      rows[half][step][1] = row[8 * kWords];
      rows[half][step][2] = row[4];
      rows[half][step][3] = row[8 * kWords + 4];
    }
  }
  load_tile(tile, b);
  __syncthreads();
  i32 d[2][64];
#ifndef WITHOUT_FENCE
  wgmma_fence();
#endif
  for (u32 half = 0; half < 2; ++half) {
    for (u32 step = 0; step < STEPS; ++step) {
      const u64 descriptor = descriptor_of(shared_address(tile) + kStep * step);
      wgmma_and_popc(d[half], rows[half][step], descriptor, step > 0);
    }
    wgmma_commit();
  }
#ifdef CHANGE_A
  rows[1][0][0] = 0;
#endif
#ifdef CHANGE_B
  __syncthreads();
  *reinterpret_cast<u32*>(tile + offset_of(threadIdx.x, 0)) = 0;
#endif
  wgmma_wait<1>();
  hold(d[0]);
  write(d[0], out);
#ifndef READ_EARLY
  wgmma_wait<0>();
  hold(d[1]);
#endif
  write(d[1], out + 64 * kColumns);
#ifdef READ_EARLY
  wgmma_wait<0>();
#endif
#ifdef SECOND_WITHOUT_FENCE
  wgmma_and_popc(d[0], rows[0][0], descriptor_of(shared_address(tile)), 0);
  wgmma_commit();
  wgmma_wait<0>();
#endif
#ifdef LEAVE_UNDER_WAY
  wgmma_fence();
  wgmma_and_popc(d[0], rows[0][0], descriptor_of(shared_address(tile)), 0);
#endif
}

// One warp of four stays away.
extern "C" __global__ void __launch_bounds__(128) three_warps(i32* out) {
  if (threadIdx.x >= 96) return;
  const u32 a[4] = {1, 2, 3, 4};
  i32 d[64];
  wgmma_fence();
  wgmma_and_popc(d, a, descriptor_of(shared_address(dynamic_shared())), 0);
  wgmma_commit();
  wgmma_wait<0>();
  out[threadIdx.x] = d[0];
}
