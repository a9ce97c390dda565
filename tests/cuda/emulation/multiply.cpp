// mma.sync m16n8k256 of bits (wgmma_b1.md, section 1).
#include <bit>

#include "scheduler.hpp"

namespace emulated {
namespace {

constexpr u32 kRows = 16;
constexpr u32 kColumns = 8;
constexpr u32 kWords = 8;

struct Fragments {
  int* d;
  const u32* a;
  u32 b[2];
};

struct Operands {
  u32 a[kRows][kWords];
  u32 b[kColumns][kWords];
};

Operands gather(void* const* brought) {
  Operands all;
  for (u32 lane = 0; lane < kWarp; ++lane) {
    const auto& fragments = *static_cast<const Fragments*>(brought[lane]);
    const u32 g = lane >> 2;
    const u32 t = lane & 3;
    for (u32 i = 0; i < 4; ++i) all.a[g + 8 * (i & 1)][t + 4 * (i >> 1)] = fragments.a[i];
    for (u32 i = 0; i < 2; ++i) all.b[g][t + 4 * i] = fragments.b[i];
  }
  return all;
}

void finish(void* const* brought, u32) {
  const Operands all = gather(brought);
  for (u32 lane = 0; lane < kWarp; ++lane) {
    int* d = static_cast<const Fragments*>(brought[lane])->d;
    const u32 g = lane >> 2;
    const u32 t = lane & 3;
    for (u32 i = 0; i < 4; ++i) {
      const u32* a = all.a[g + 8 * (i >> 1)];
      const u32* b = all.b[2 * t + (i & 1)];
      for (u32 word = 0; word < kWords; ++word) d[i] += std::popcount(a[word] & b[word]);
    }
  }
}

}  // namespace

void multiply(int* d, const unsigned* a, unsigned b0, unsigned b1) {
  Fragments mine{d, a, {b0, b1}};
  meet_warp({"mma_and_popc", "", 0}, kFullMask, &mine, finish);
}

}  // namespace emulated
