// Every instruction that CUDA C++ has no word for, behind a function: 1-bit matrix multiplies,
// asynchronous copies and barriers. Kernels use nothing else that a CPU could not compile, so tests
// run them, unmodified, over an emulation of this header (HAMMING_EMULATED).
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;

#ifdef HAMMING_EMULATED
#include "emulated_ptx.hpp"
#else

#define HAMMING_DEVICE __device__ __forceinline__

// The block's dynamic shared memory, aligned to 16 bytes.
HAMMING_DEVICE u8* dynamic_shared() {
  extern __shared__ uint4 hamming_dynamic_shared[];
  return reinterpret_cast<u8*>(hamming_dynamic_shared);
}

// The address that descriptors and asynchronous copies take.
HAMMING_DEVICE u32 shared_address(const void* pointer) {
  return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

// mma.sync m16n8k256: d = c + popc(a AND b), A of 16 rows, B of 8 columns (PTX ISA, "Matrix
// fragments for mma.m16n8k256 with .b1 type"). sm_80 and later.
HAMMING_DEVICE void mma_and_popc(i32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1,
                                 const i32 (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(c[0]), "r"(c[1]),
        "r"(c[2]), "r"(c[3]));
}

// No arithmetic on the values moves from one side of this to the other.
template <int kCount>
HAMMING_DEVICE void hold(i32 (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(values[i])::"memory");
}

// cp.async of 4, 8 or 16 bytes into shared memory, both addresses aligned to that size.
template <int kBytes>
HAMMING_DEVICE void copy_async(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "the sizes of cp.async");
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
                 "l"(global)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(shared)),
                 "l"(global), "n"(kBytes)
                 : "memory");
  }
}
HAMMING_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending of this thread's newest groups are under way.
template <int kPending>
HAMMING_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// A barrier for n_threads of the block (a multiple of 32), by number: 1..15.
HAMMING_DEVICE void named_barrier(int number, int n_threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(n_threads) : "memory");
}

// mbarrier in shared memory: a phase ends when `count` threads have arrived. Phases alternate
// between parity 0, the first, and 1.
HAMMING_DEVICE void mbarrier_init(u64* barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
               : "memory");
}
HAMMING_DEVICE void mbarrier_arrive(u64* barrier) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(
                   shared_address(barrier))
               : "memory");
}
// Waits until the phase of that parity has ended.
HAMMING_DEVICE void mbarrier_wait(u64* barrier, u32 parity) {
  u32 done = 0;
  while (done == 0) {
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
        "selp.u32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

#ifdef HAMMING_WGMMA  // sm_90a alone

// Registers of each thread of the warpgroup from here on, a multiple of 8: one gives, one takes.
template <int kCount>
HAMMING_DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
HAMMING_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Makes a thread's writes to shared memory visible to wgmma, which reads through another proxy.
HAMMING_DEVICE void fence_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
HAMMING_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
HAMMING_DEVICE void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
HAMMING_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

#define HAMMING_D4(i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define HAMMING_D16(i) HAMMING_D4(i), HAMMING_D4(i + 4), HAMMING_D4(i + 8), HAMMING_D4(i + 12)

// wgmma m64n128k256: d = popc(a AND b), added to d where `accumulate`; A of 64 rows in registers, B
// of 128 rows in shared memory behind a descriptor.
HAMMING_DEVICE void wgmma_and_popc(i32 (&d)[64], const u32 (&a)[4], u64 b, u32 accumulate) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %69, 0; "
      "wgmma.mma_async.sync.aligned.m64n128k256.s32.b1.b1.and.popc {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, p; }"
      : HAMMING_D16(0), HAMMING_D16(16), HAMMING_D16(32), HAMMING_D16(48)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}

#undef HAMMING_D16
#undef HAMMING_D4
#endif  // HAMMING_WGMMA
#endif  // HAMMING_EMULATED
