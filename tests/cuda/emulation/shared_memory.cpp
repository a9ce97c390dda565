#include "shared_memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace emulated {
namespace {

constexpr u32 kWindow = 1 << 18;  // the 18 bits of an address that descriptors hold
constexpr u32 kGuard = 1024;
constexpr u8 kGuardByte = 0xC3;
constexpr u8 kPoisonByte = kPoison & 0xFF;

// Addresses keep their low bits in the window: rounding a pointer up is rounding its address up.
u8* const window = static_cast<u8*>(std::aligned_alloc(kWindow, kWindow));
u32 unpublished[kWindow / 4];
const u8* static_begin;
const u8* static_end;
u8* dynamic_begin;
u8* dynamic_end;

// __shared__ variables have addresses ahead of the dynamic part, as on a GPU, but live elsewhere.
const u8* static_floor() {
  return static_begin - reinterpret_cast<std::uintptr_t>(static_begin) % kGuard;
}

bool within(const void* pointer, u32 bytes, const u8* begin, const u8* end) {
  const auto* first = static_cast<const u8*>(pointer);
  return first >= begin && first <= end && bytes <= static_cast<std::size_t>(end - first);
}

u32* marks(const void* pointer) {
  return unpublished + (static_cast<const u8*>(pointer) - window) / 4;
}

void check_guard(const u8* begin, const u8* end, const char* where) {
  const u8* hit = std::find_if(begin, end, [](u8 byte) { return byte != kGuardByte; });
  if (hit == end) return;
  report("block (%u, %u, %u): written %s the %td bytes of dynamic shared memory, at offset %td",
         blockIdx.x, blockIdx.y, blockIdx.z, where, dynamic_end - dynamic_begin,
         hit - dynamic_begin);
}

}  // namespace

void prepare_shared_memory(const Launch& launch, Random& random) {
  static_begin = launch.static_begin;
  static_end = launch.static_end;
  std::memset(const_cast<u8*>(static_begin), kPoisonByte,
              static_cast<std::size_t>(static_end - static_begin));
  const auto statics = static_cast<u32>(static_end - static_floor());
  // CUDA promises a multiple of 16, so that is all there is: never a multiple of 32.
  const u32 odd = launch.seed == 0 ? 1 : 2 * random.below(kGuard / 32) + 1;
  dynamic_begin = window + kGuard + (statics + kGuard - 1) / kGuard * kGuard + kGuard + 16 * odd;
  dynamic_end = dynamic_begin + launch.shared_bytes;
  std::memset(dynamic_begin - kGuard, kGuardByte, kGuard);
  std::memset(dynamic_begin, kPoisonByte, launch.shared_bytes);
  std::memset(dynamic_end, kGuardByte, kGuard);
  std::fill(marks(dynamic_begin), marks(dynamic_end) + 1, 0u);
}

void check_shared_memory() {
  check_guard(dynamic_begin - kGuard, dynamic_begin, "ahead of");
  check_guard(dynamic_end, dynamic_end + kGuard, "past");
}

bool is_dynamic(const void* pointer, u32 bytes) {
  return within(pointer, bytes, dynamic_begin, dynamic_end);
}

bool is_shared(const void* pointer, u32 bytes) {
  return is_dynamic(pointer, bytes) || within(pointer, bytes, static_begin, static_end);
}

const u8* at_window_address(u32 address, u32 bytes) {
  const u8* pointer = window + address % kWindow;
  return is_dynamic(pointer, bytes) ? pointer : nullptr;
}

void mark_unpublished(const void* pointer, u32 bytes, u32 copy) {
  if (is_dynamic(pointer, bytes)) std::fill_n(marks(pointer), bytes / 4, copy);
}

void mark_published(const void* pointer, u32 bytes, u32 copy) {
  if (!is_dynamic(pointer, bytes)) return;
  // A later copy over the same bytes has a mark, and a fence, of its own.
  std::replace(marks(pointer), marks(pointer) + bytes / 4, copy, 0u);
}

bool is_marked(const void* pointer, u32 bytes, u32 copy) {
  const u32* first = marks(pointer);
  return std::find(first, first + bytes / 4, copy) != first + bytes / 4;
}

bool is_published(const void* pointer, u32 bytes) {
  const u32* first = marks(pointer);
  return std::all_of(first, first + bytes / 4, [](u32 mark) { return mark == 0; });
}

unsigned char* dynamic_memory() { return dynamic_begin; }

unsigned window_address(const void* pointer) {
  if (is_dynamic(pointer, 0)) {
    return static_cast<u32>(static_cast<const u8*>(pointer) - window);
  }
  if (!is_shared(pointer, 0)) fail("shared_address of %p, which is not in shared memory", pointer);
  return static_cast<u32>(kGuard + (static_cast<const u8*>(pointer) - static_floor()));
}

void check_alignment(const char* what, const volatile void* address, unsigned bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes == 0) return;
  fail("%s: address %p is not a multiple of %u", what, address, bytes);
}

}  // namespace emulated
