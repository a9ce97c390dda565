// What CUDA C++ knows by itself, for kernels that a C++ compiler compiles. Included ahead of every
// kernel. __activemask is left out on purpose: what it returns is no promise.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one after the other, so one copy is enough. Thread-local memory of an object is one
// piece, which the emulation can find and fill with poison.
#define __shared__ static thread_local

#include "runtime.hpp"

constexpr int warpSize = 32;

#include "arithmetic.hpp"
#include "memory_access.hpp"
#include "vector_types.hpp"
#include "warp_functions.hpp"
