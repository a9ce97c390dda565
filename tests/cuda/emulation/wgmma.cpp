// wgmma m64n128k256 of bits (wgmma_b1.md, sections 2 and 3). Each warp multiplies its 16 rows on
// its own: nothing says that the four of a warpgroup wait for each other.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "descriptor.hpp"
#include "shared_memory.hpp"

namespace emulated {
namespace {

constexpr u32 kRows = 16;  // of a warp
constexpr u32 kValues = 64;
constexpr u32 kWarps = 4;  // of a warpgroup

using Values = std::array<std::array<int, kValues>, kWarp>;

// From the issue to the wait accumulators belong to wgmma: the kernel's hold garbage, and their
// values are here.
struct Accumulators {
  int* registers[kWarp];
  Values values;
  u32 n_pending = 0;
  u64 released = 0;  // when the kernel got them back
};

struct Multiply {
  const u32* a[kWarp];
  u64 descriptor;
  bool accumulate;
  Accumulators* accumulators;
  std::unique_ptr<Values> product;  // null until computed
};

struct Warp {
  u64 clock;
  u64 fenced;
  u32 n_issued;
  std::vector<std::unique_ptr<Accumulators>> accumulators;
  std::vector<Multiply> uncommitted;
  std::deque<std::vector<Multiply>> groups;
};

// What one lane says of a wgmma.
struct Brought {
  int* d;
  const u32* a;
  u64 descriptor;
  bool accumulate;
};

// What the first of a warpgroup's warps said of its n-th wgmma: the others must agree.
struct Issue {
  u64 descriptor;
  bool accumulate;
};

Warp warps[kMaxWarps];
std::vector<Issue> issues[kMaxWarps / kWarps];

Values product_of(const Multiply& multiply, const Tile& tile) {
  u32 a[kRows][2 * kStepWords];
  for (u32 lane = 0; lane < kWarp; ++lane) {
    for (u32 i = 0; i < 4; ++i) {
      a[(lane >> 2) + 8 * (i & 1)][(lane & 3) + 4 * (i >> 1)] = multiply.a[lane][i];
    }
  }
  u64 rows[kRows][kStepWords];
  std::memcpy(rows, a, sizeof a);
  std::array<std::array<int, kTileRows>, kRows> sums;
  for (u32 row = 0; row < kRows; ++row) {
    for (u32 column = 0; column < kTileRows; ++column) {
      const auto& words = tile.rows[column];
      int sum = 0;
      for (u32 i = 0; i < kStepWords; ++i) sum += std::popcount(rows[row][i] & words[i]);
      sums[row][column] = sum;
    }
  }
  Values product;
  for (u32 lane = 0; lane < kWarp; ++lane) {
    for (u32 i = 0; i < kValues; ++i) {
      product[lane][i] =
          sums[(lane >> 2) + 8 * (i >> 1 & 1)][8 * (i >> 2) + 2 * (lane & 3) + (i & 1)];
    }
  }
  return product;
}

void check_agreement(void* const* brought) {
  const auto& first = *static_cast<const Brought*>(brought[0]);
  for (u32 lane = 1; lane < kWarp; ++lane) {
    const auto& other = *static_cast<const Brought*>(brought[lane]);
    if (other.descriptor == first.descriptor && other.accumulate == first.accumulate) continue;
    fail("wgmma: lanes 0 and %u differ in the descriptor or in accumulate", lane);
  }
  const u32 group = this_warp() / kWarps;
  if ((group + 1) * kWarps * kWarp > launch().n_threads) {
    fail("wgmma: warps %u.. of the block are no whole warpgroup", group * kWarps);
  }
  const u32 number = warps[this_warp()].n_issued++;
  if (number == issues[group].size()) issues[group].push_back({first.descriptor, first.accumulate});
  const Issue& issue = issues[group][number];
  if (issue.descriptor == first.descriptor && issue.accumulate == first.accumulate) return;
  fail("wgmma %u of the warpgroup: its warps differ in the descriptor or in accumulate", number);
}

Accumulators& accumulators_of(Warp& warp, int* first) {
  for (const auto& known : warp.accumulators) {
    if (known->registers[0] == first) return *known;
  }
  return *warp.accumulators.emplace_back(std::make_unique<Accumulators>());
}

Accumulators& find_accumulators(Warp& warp, void* const* brought) {
  Accumulators& all = accumulators_of(warp, static_cast<const Brought*>(brought[0])->d);
  for (u32 lane = 0; lane < kWarp; ++lane) {
    int* const registers = static_cast<const Brought*>(brought[lane])->d;
    if (all.n_pending > 0 && all.registers[lane] != registers) {
      fail("wgmma: lane %u has other accumulators than in the wgmma under way", lane);
    }
    all.registers[lane] = registers;
  }
  return all;
}

// The kernel's accumulators become wgmma's.
void take(Accumulators& all) {
  const auto garbage = static_cast<u32>(random()());
  for (u32 lane = 0; lane < kWarp; ++lane) {
    for (u32 i = 0; i < kValues; ++i) {
      all.values[lane][i] = all.registers[lane][i];
      all.registers[lane][i] = static_cast<int>(garbage * (i + 3) ^ lane << 27);
    }
  }
}

void issue(void* const* brought, u32) {
  check_agreement(brought);
  Warp& warp = warps[this_warp()];
  Accumulators& accumulators = find_accumulators(warp, brought);
  if (accumulators.n_pending == 0) {
    if (warp.fenced <= accumulators.released) {
      fail("wgmma: no wgmma_fence since the kernel could touch these accumulators");
    }
    take(accumulators);
  }
  ++accumulators.n_pending;
  const auto& first = *static_cast<const Brought*>(brought[0]);
  Multiply multiply{{}, first.descriptor, first.accumulate, &accumulators, nullptr};
  for (u32 lane = 0; lane < kWarp; ++lane) {
    multiply.a[lane] = static_cast<const Brought*>(brought[lane])->a;
  }
  // A fence that comes after the issue is too late: what is poison now stays poison.
  const Tile tile = read_tile(first.descriptor);
  if (!tile.published || happens_early()) {
    multiply.product = std::make_unique<Values>(product_of(multiply, tile));
  }
  warp.uncommitted.push_back(std::move(multiply));
}

void complete(Warp& warp, Multiply& multiply) {
  Accumulators& all = *multiply.accumulators;
  const Values product = multiply.product != nullptr
                             ? *multiply.product
                             : product_of(multiply, read_tile(multiply.descriptor));
  --all.n_pending;
  for (u32 lane = 0; lane < kWarp; ++lane) {
    for (u32 i = 0; i < kValues; ++i) {
      int& value = all.values[lane][i];
      value = product[lane][i] + (multiply.accumulate ? value : 0);
      if (all.n_pending == 0) all.registers[lane][i] = value;
    }
  }
  all.released = ++warp.clock;
}

void meet(const char* what, Finish finish) { meet_warp({what, "", 0}, kFullMask, nullptr, finish); }

}  // namespace

void reset_multiplies() {
  for (u32 i = 0; i < kMaxWarps; ++i) {
    // Most kernels have no wgmma.
    if (warps[i].clock > 0 || warps[i].n_issued > 0) warps[i] = Warp{};
    issues[i / kWarps].clear();
  }
}

void check_multiplies() {
  for (u32 i = 0; i < launch().n_warps(); ++i) {
    if (!warps[i].uncommitted.empty() || !warps[i].groups.empty()) {
      report("block (%u, %u, %u): warp %u has ended with wgmma under way", blockIdx.x, blockIdx.y,
             blockIdx.z, i);
    }
    if (warps[i].n_issued != issues[i / kWarps].size()) {
      report("block (%u, %u, %u): warp %u has issued %u wgmma, others of its warpgroup %zu",
             blockIdx.x, blockIdx.y, blockIdx.z, i, warps[i].n_issued, issues[i / kWarps].size());
    }
  }
}

void fence_multiplies() {
  meet("wgmma_fence", [](void* const*, u32) {
    Warp& warp = warps[this_warp()];
    warp.fenced = ++warp.clock;
  });
}

void issue_multiply(int* d, const unsigned* a, unsigned long long b, bool accumulate) {
  Brought mine{d, a, b, accumulate};
  meet_warp({"wgmma_and_popc", "", 0}, kFullMask, &mine, issue);
}

void commit_multiplies() {
  meet("wgmma_commit", [](void* const*, u32) {
    Warp& warp = warps[this_warp()];
    warp.groups.push_back(std::move(warp.uncommitted));
    warp.uncommitted.clear();
  });
}

void wait_multiplies(unsigned pending) {
  meet_warp({"wgmma_wait", "", 0}, kFullMask, &pending, [](void* const* brought, u32) {
    Warp& warp = warps[this_warp()];
    while (warp.groups.size() > *static_cast<const unsigned*>(brought[0])) {
      for (Multiply& multiply : warp.groups.front()) complete(warp, multiply);
      warp.groups.pop_front();
    }
  });
}

}  // namespace emulated
