// Kernels as functions that Python can call.
#pragma once

#include "runtime.hpp"

namespace emulated {

struct Configuration {
  dim3 grid;
  unsigned n_threads;  // of a block
  unsigned long long shared_bytes;
  unsigned long long seed;  // 0: warps and blocks in turn, asynchronous work as late as can be
};

// Runs `body(argument)` for every thread. Returns null, or what went wrong. `object` is any address
// in the kernel's shared object.
EMULATED_API const char* run(const Configuration& configuration, const void* object,
                             void (*body)(void*), void* argument);

template <unsigned... indices>
struct Indices {};
template <unsigned n, unsigned... rest>
struct Count : Count<n - 1, n - 1, rest...> {};
template <unsigned... indices>
struct Count<0, indices...> : Indices<indices...> {};

template <class... A>
struct Call {
  void (*kernel)(A...);
  void** arguments;

  template <unsigned... i>
  void operator()(Indices<i...>) const {
    kernel(*static_cast<A*>(arguments[i])...);
  }
};

// A block's static shared memory is the thread-local memory of the kernel's object, and exists from
// its first use on.
inline void touch_static_memory() {
  static thread_local char any;
  asm volatile("" ::"r"(&any));
}

// `arguments` are addresses of values of the kernel's own types.
template <class... A>
const char* launch(void (*kernel)(A...), const Configuration& configuration, void** arguments) {
  touch_static_memory();
  Call<A...> call{kernel, arguments};
  const auto body = [](void* argument) {
    (*static_cast<const Call<A...>*>(argument))(Count<sizeof...(A)>());
  };
  return run(configuration, reinterpret_cast<const void*>(kernel), body, &call);
}

// As above, with the parts apart.
template <class... A>
const char* launch(void (*kernel)(A...), dim3 grid, unsigned n_threads,
                   unsigned long long shared_bytes, void** arguments, unsigned long long seed) {
  return launch(kernel, {grid, n_threads, shared_bytes, seed}, arguments);
}

// What Python checks arguments by.
struct Parameter {
  unsigned bytes;
  unsigned is_pointer;
};

template <class T>
constexpr bool kIsPointer = false;
template <class T>
constexpr bool kIsPointer<T*> = true;

template <class... A>
unsigned describe(void (*)(A...), const Parameter** parameters) {
  static const Parameter all[] = {{sizeof(A), kIsPointer<A>}..., {0, 0}};
  *parameters = all;
  return sizeof...(A);
}

}  // namespace emulated

#define EMULATED_KERNEL(kernel)                                                                    \
  extern "C" EMULATED_API const char* emulated_launch_##kernel(                                    \
      const unsigned* grid, unsigned n_threads, unsigned long long shared_bytes, void** arguments, \
      unsigned long long seed) {                                                                   \
    return emulated::launch(kernel, dim3(grid[0], grid[1], grid[2]), n_threads, shared_bytes,      \
                            arguments, seed);                                                      \
  }                                                                                                \
  extern "C" EMULATED_API unsigned emulated_describe_##kernel(                                     \
      const emulated::Parameter** parameters) {                                                    \
    return emulated::describe(kernel, parameters);                                                 \
  }
