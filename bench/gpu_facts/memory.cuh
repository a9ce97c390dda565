// How fast memory is read, and copied.
#pragma once

#include "measure.cuh"

constexpr int kReadThreads = 512;

__global__ void fill(u32* words, size_t count) {
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < count;
       i += stride) {
    words[i] = static_cast<u32>(i * 2654435761u) ^ static_cast<u32>(i >> 7);
  }
}

DEVICE u32 folded(uint4 chunk) { return chunk.x ^ chunk.y ^ chunk.z ^ chunk.w; }

// Reads everything once, four loads of 16 bytes under way in each thread.
__global__ void __launch_bounds__(kReadThreads)
    read_all(const uint4* chunks, size_t count, u32* out) {
  const size_t stride = static_cast<size_t>(gridDim.x) * kReadThreads;
  size_t i = blockIdx.x * static_cast<size_t>(kReadThreads) + threadIdx.x;
  u32 sum = 0;
  for (; i + 3 * stride < count; i += 4 * stride) {
    const uint4 a = __ldcs(chunks + i), b = __ldcs(chunks + i + stride);
    const uint4 c = __ldcs(chunks + i + 2 * stride), d = __ldcs(chunks + i + 3 * stride);
    sum ^= folded(a) ^ folded(b) ^ folded(c) ^ folded(d);
  }
  for (; i < count; i += stride) sum ^= folded(__ldcs(chunks + i));
  keep(sum, out);
}

void measure_memory(Object& object, const Device& device) {
  size_t bytes = size_t{8} << 30, available, total;
  check(cudaMemGetInfo(&available, &total), "memory");
  while (bytes * 5 / 2 > available) bytes /= 2;
  u32 *from, *to;
  check(cudaMalloc(&from, bytes), "memory");
  check(cudaMalloc(&to, bytes), "memory");
  fill<<<device.multiprocessors * 8, 512>>>(from, bytes / 4);
  object.next();
  double best = 0;
  {
    Object read("read_bytes_per_second_by_blocks_per_multiprocessor");
    for (const int blocks : {1, 2, 4, 8, 16}) {
      const double ms = milliseconds([&] {
        read_all<<<device.multiprocessors * blocks, kReadThreads>>>(
            reinterpret_cast<const uint4*>(from), bytes / 16, device.out);
      });
      read.number(std::to_string(blocks), bytes / (ms * 1e-3));
      best = std::max(best, bytes / (ms * 1e-3));
    }
  }
  object.number("read_bytes_per_second", best);
  const double ms = milliseconds(
      [&] { check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice), "copy"); });
  object.number("copied_bytes_per_second_read_plus_written", 2.0 * bytes / (ms * 1e-3));
  check(cudaFree(from), "memory");
  check(cudaFree(to), "memory");
}
