// What a wgmma descriptor says of B, and B as the async proxy reads it.
#pragma once

#include <array>

#include "scheduler.hpp"

namespace emulated {

constexpr u32 kTileRows = 128;
constexpr u32 kStepWords = 4;  // a k-step of 256 bits, in words of 64

struct Tile {
  std::array<std::array<u64, kStepWords>, kTileRows> rows;
  bool published = true;  // false where some of it was poison, for want of a proxy fence
};

// Fails on a descriptor that is none, or that leaves dynamic shared memory.
Tile read_tile(u64 descriptor);

}  // namespace emulated
