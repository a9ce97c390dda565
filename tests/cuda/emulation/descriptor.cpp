// wgmma_b1.md, section 2.3.
#include "descriptor.hpp"

#include <cstring>

#include "shared_memory.hpp"

namespace emulated {
namespace {

constexpr u32 kChunk = 16;  // bytes

struct Fields {
  u32 start;
  u32 leading;  // bytes between the halves of a k-step; unused with a swizzle
  u32 stride;   // bytes between groups of 8 rows
  u32 swizzle;  // bits of the address that are XORed: 0..3, patterns of 32, 64 and 128 bytes
};

Fields decode(u64 descriptor) {
  constexpr u64 kUnused = 0x3Full << 52 | 1ull << 48 | 3ull << 46 | 3ull << 30 | 3ull << 14;
  constexpr u32 kSwizzles[] = {0, 3, 2, 1};
  if ((descriptor & kUnused) != 0) {
    fail("wgmma: the descriptor %#llx has bits outside its fields",
         static_cast<unsigned long long>(descriptor));
  }
  const auto base_offset = static_cast<u32>(descriptor >> 49 & 7);
  if (base_offset != 0) fail("wgmma: a base offset of %u in the descriptor", base_offset);
  return {static_cast<u32>(descriptor & 0x3FFF) << 4,
          static_cast<u32>(descriptor >> 16 & 0x3FFF) << 4,
          static_cast<u32>(descriptor >> 32 & 0x3FFF) << 4, kSwizzles[descriptor >> 62]};
}

u32 chunk_address(const Fields& fields, u32 row, u32 half) {
  if (fields.swizzle == 0) {
    return fields.start + kChunk * (row & 7) + fields.stride * (row >> 3) + fields.leading * half;
  }
  const u32 pitch = kChunk << fields.swizzle;
  const u32 x = fields.start + pitch * (row & 7) + fields.stride * (row >> 3) + kChunk * half;
  const u32 bits = (1u << fields.swizzle) - 1;
  return x ^ (x >> 7 & bits) << 4;
}

}  // namespace

Tile read_tile(u64 descriptor) {
  const Fields fields = decode(descriptor);
  Tile tile;
  for (u32 row = 0; row < kTileRows; ++row) {
    for (u32 half = 0; half < 2; ++half) {
      const u32 address = chunk_address(fields, row, half);
      const u8* bytes = at_window_address(address, kChunk);
      if (bytes == nullptr) {
        fail("wgmma: row %u of B is at %#x, outside the dynamic shared memory", row, address);
      }
      u32 words[4];
      std::memcpy(words, bytes, kChunk);
      for (u32 i = 0; i < 4 && !is_published(bytes, kChunk); ++i) {
        if (is_published(bytes + 4 * i, 4)) continue;
        words[i] = kPoison;
        tile.published = false;
      }
      std::memcpy(&tile.rows[row][2 * half], words, kChunk);
    }
  }
  return tile;
}

}  // namespace emulated
