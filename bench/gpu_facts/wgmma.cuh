// wgmma on bits as functions: 64 x n products of 256 bits, n = 64, 128 or 256 (sm_90a).
#pragma once

#include "measure.cuh"

// clang-format off
#define D4(i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define D32(i) D4(i), D4(i + 4), D4(i + 8), D4(i + 12), D4(i + 16), D4(i + 20), D4(i + 24), D4(i + 28)
#define R32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define R64 R32 ", " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define R128 R64 ", " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define WGMMA(n, registers, a, b, accumulate)                        \
  "{ .reg .pred p; setp.ne.b32 p, " accumulate ", 0; "               \
  "wgmma.mma_async.sync.aligned.m64n" #n "k256.s32.b1.b1.and.popc {" \
  registers "}, " a ", " b ", p; }"

// A of 64 rows: four registers a thread, or shared memory behind a descriptor.
using InRegisters = u32[4];
using InShared = u64;

DEVICE void multiply(i32 (&d)[32], const InRegisters& a, u64 b, u32 accumulate) {
  asm volatile(WGMMA(64, R32, "{%32, %33, %34, %35}", "%36", "%37") : D32(0)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}
DEVICE void multiply(i32 (&d)[32], const InShared& a, u64 b, u32 accumulate) {
  asm volatile(WGMMA(64, R32, "%32", "%33", "%34") : D32(0) : "l"(a), "l"(b), "r"(accumulate));
}
DEVICE void multiply(i32 (&d)[64], const InRegisters& a, u64 b, u32 accumulate) {
  asm volatile(WGMMA(128, R64, "{%64, %65, %66, %67}", "%68", "%69") : D32(0), D32(32)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}
DEVICE void multiply(i32 (&d)[64], const InShared& a, u64 b, u32 accumulate) {
  asm volatile(WGMMA(128, R64, "%64", "%65", "%66") : D32(0), D32(32)
               : "l"(a), "l"(b), "r"(accumulate));
}
DEVICE void multiply(i32 (&d)[128], const InRegisters& a, u64 b, u32 accumulate) {
  asm volatile(WGMMA(256, R128, "{%128, %129, %130, %131}", "%132", "%133")
               : D32(0), D32(32), D32(64), D32(96)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}
DEVICE void multiply(i32 (&d)[128], const InShared& a, u64 b, u32 accumulate) {
  asm volatile(WGMMA(256, R128, "%128", "%129", "%130")
               : D32(0), D32(32), D32(64), D32(96)
               : "l"(a), "l"(b), "r"(accumulate));
}
// clang-format on

DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
DEVICE void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A matrix in shared memory (PTX ISA, "Matrix descriptor"). `leading`: bytes between the halves of
// a step, ignored with a swizzle; `stride`: between groups of eight rows; `swizzle`: 0 none, 1 of
// 128 bytes, 2 of 64, 3 of 32.
DEVICE u64 descriptor(const void* matrix, u32 leading, u32 stride, u32 swizzle) {
  const u32 address = static_cast<u32>(__cvta_generic_to_shared(matrix));
  return static_cast<u64>((address & 0x3ffff) >> 4) | static_cast<u64>(leading >> 4) << 16 |
         static_cast<u64>(stride >> 4) << 32 | static_cast<u64>(swizzle) << 62;
}
