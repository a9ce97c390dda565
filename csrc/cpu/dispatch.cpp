#include "dispatch.hpp"

namespace hamming {

extern const Backend kScalarBackend;
#if defined(HAMMING_HAVE_X86)
extern const Backend kAvx2Backend;
extern const Backend kAvx512Backend;
#elif defined(HAMMING_HAVE_NEON)
extern const Backend kNeonBackend;
#endif

// The questions to the CPU stand here and not in the ISA files: this file is compiled for any CPU.
// __builtin_cpu_supports also asks whether the operating system saves the wide registers.
const std::vector<BackendEntry>& all_backends() {
  static const std::vector<BackendEntry> entries = {
#if defined(HAMMING_HAVE_X86)
      {&kAvx512Backend, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vpopcntdq")},
      {&kAvx2Backend, __builtin_cpu_supports("avx2") != 0},
      {&kScalarBackend, __builtin_cpu_supports("popcnt") != 0},
#else
#if defined(HAMMING_HAVE_NEON)
      {&kNeonBackend, true},  // part of every AArch64 that Linux or macOS runs on
#endif
      {&kScalarBackend, true},
#endif
  };
  return entries;
}

}  // namespace hamming
