// Whether wgmma on bits is right, with B in each layout that a search could use.
#pragma once

#include <random>

#include "bgmma.cuh"

// How B's 64 rows of `pitch` bytes lie in shared memory. Without a swizzle: core matrices of eight
// rows by 16 bytes; with one: rows in order, their 16-byte chunks exchanged.
struct Layout {
  u32 pitch;    // bytes of a row: 32 for each step of 256 bits
  u32 swizzle;  // the descriptor's number
};

DEVICE u32 place_of(const Layout& layout, u32 row, u32 byte) {
  if (layout.swizzle == 0) {
    return row / 8 * 256 + byte / 16 * 128 + row % 8 * 16 + byte % 16;
  }
  const u32 chunks = layout.pitch / 16;
  const u32 turned = row / (8 / chunks) % chunks;
  return row * layout.pitch + 16 * (byte / 16 ^ turned) + byte % 16;
}

// products (64, 64): popc(A AND B) of 256 bits, B being step `step` of its rows.
__global__ void __launch_bounds__(kGroupThreads)
    check_wgmma(const u32* a_words, const u32* b_words, i32* products, Layout layout, u32 step) {
  __shared__ __align__(1024) u32 shared[64 * 32];
  for (u32 i = threadIdx.x; i < 64 * 32; i += kGroupThreads) shared[i] = 0xdeadbeef;
  __syncthreads();
  for (u32 i = threadIdx.x; i < 64 * 8; i += kGroupThreads) {
    shared[place_of(layout, i / 8, 32 * step + i % 8 * 4) / 4] = b_words[i];
  }
  fence_async_proxy();
  __syncthreads();
  const u32 lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4, t = lane % 4;
  const InRegisters a = {a_words[row * 8 + t], a_words[(row + 8) * 8 + t], a_words[row * 8 + t + 4],
                         a_words[(row + 8) * 8 + t + 4]};
  const u64 b = layout.swizzle == 0 ? descriptor(shared, 128, 256, 0)
                                    : descriptor(shared, 16, 8 * layout.pitch, layout.swizzle);
  i32 d[32] = {};
  wgmma_fence();
  multiply(d, a, b + 2 * step, 0);
  wgmma_commit();
  wgmma_wait();
  for (u32 i = 0; i < 32; ++i) {
    products[(row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + t * 2 + i % 2] = d[i];
  }
}

void check_layouts(Object& object) {
  std::mt19937 random(7);
  std::vector<u32> a(64 * 8), b(64 * 8);
  std::generate(a.begin(), a.end(), random);
  std::generate(b.begin(), b.end(), random);
  u32 *a_there, *b_there;
  i32* products_there;
  check(cudaMalloc(&a_there, 2048), "memory");
  check(cudaMalloc(&b_there, 2048), "memory");
  check(cudaMalloc(&products_there, 16384), "memory");
  check(cudaMemcpy(a_there, a.data(), 2048, cudaMemcpyHostToDevice), "copy");
  check(cudaMemcpy(b_there, b.data(), 2048, cudaMemcpyHostToDevice), "copy");
  for (const Layout layout : {Layout{32, 0}, Layout{32, 3}, Layout{64, 2}, Layout{128, 1}}) {
    for (u32 step = 0; step < layout.pitch / 32; ++step) {
      check(cudaMemset(products_there, 0xff, 16384), "memory");
      check_wgmma<<<1, kGroupThreads>>>(a_there, b_there, products_there, layout, step);
      check(cudaDeviceSynchronize(), "wgmma");
      std::vector<i32> products(64 * 64);
      check(cudaMemcpy(products.data(), products_there, 16384, cudaMemcpyDeviceToHost), "copy");
      int right = 0;
      for (int i = 0; i < 64 * 64; ++i) {
        i32 expected = 0;
        for (int w = 0; w < 8; ++w) {
          expected += __builtin_popcount(a[i / 64 * 8 + w] & b[i % 64 * 8 + w]);
        }
        right += products[i] == expected;
      }
      const std::string name = layout.swizzle == 0 ? "no swizzle"
                                                   : "swizzle of " + std::to_string(layout.pitch) +
                                                         " bytes, step " + std::to_string(step);
      object.number(name, right);
    }
  }
}
