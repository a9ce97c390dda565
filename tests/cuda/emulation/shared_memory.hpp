// The shared memory of one block: where it lies, what fills it, and what may be read of it.
#pragma once

#include "scheduler.hpp"

namespace emulated {

// What a block of compute capability 9.0 may have.
constexpr u32 kMaxSharedBytes = 227 * 1024;

// Places both parts in the window and fills them with poison, for the next block.
void prepare_shared_memory(const Launch& launch, Random& random);
// Reports bytes written around the dynamic part.
void check_shared_memory();

bool is_dynamic(const void* pointer, u32 bytes);
bool is_shared(const void* pointer, u32 bytes);
// The dynamic memory at an address of the window, which descriptors hold; null outside it.
const u8* at_window_address(u32 address, u32 bytes);

// Copies that have come to shared memory through the generic proxy, by the word: 0 where the async
// proxy may read it.
void mark_unpublished(const void* pointer, u32 bytes, u32 copy);
void mark_published(const void* pointer, u32 bytes, u32 copy);
bool is_marked(const void* pointer, u32 bytes, u32 copy);
bool is_published(const void* pointer, u32 bytes);

}  // namespace emulated
