#include "launch.hpp"

#include <link.h>

#include <numeric>
#include <vector>

#include "faults.hpp"
#include "shared_memory.hpp"

namespace emulated {
namespace {

constexpr u64 kMaxBlocks = 1 << 24;  // CUDA's own limit would take a CPU days

struct ThreadLocal {
  std::uintptr_t object;  // an address in it
  const u8* begin = nullptr;
  const u8* end = nullptr;
};

int find_thread_local(dl_phdr_info* info, std::size_t, void* data) {
  auto& found = *static_cast<ThreadLocal*>(data);
  const ElfW(Phdr)* tls = nullptr;
  bool is_here = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & part = info->dlpi_phdr[i];
    if (part.p_type == PT_TLS) tls = &part;
    is_here |=
        part.p_type == PT_LOAD && found.object - (info->dlpi_addr + part.p_vaddr) < part.p_memsz;
  }
  if (!is_here) return 0;
  if (tls != nullptr && info->dlpi_tls_data != nullptr) {
    found.begin = static_cast<const u8*>(info->dlpi_tls_data);
    found.end = found.begin + tls->p_memsz;
  }
  return 1;
}

bool check(const Configuration& wanted, u64 static_bytes) {
  const dim3& grid = wanted.grid;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
      grid.z > 65535) {
    report("grid (%u, %u, %u): expected 1..2147483647, 1..65535, 1..65535", grid.x, grid.y, grid.z);
  } else if (u64{grid.x} * grid.y > kMaxBlocks / grid.z) {
    report("grid (%u, %u, %u): too many blocks to emulate", grid.x, grid.y, grid.z);
  } else if (wanted.n_threads == 0 || wanted.n_threads > kMaxThreads) {
    report("block of %u threads: expected 1..%u", wanted.n_threads, kMaxThreads);
  } else if (wanted.shared_bytes > kMaxSharedBytes ||
             wanted.shared_bytes + static_bytes > kMaxSharedBytes) {
    report("shared memory of %llu + %llu bytes: expected at most %u",
           static_cast<unsigned long long>(static_bytes), wanted.shared_bytes, kMaxSharedBytes);
  }
  return !failed();
}

std::vector<u32> order_of(u32 n_blocks, u64 seed, Random& random) {
  std::vector<u32> order(n_blocks);
  std::iota(order.begin(), order.end(), 0u);
  for (u32 i = n_blocks; seed != 0 && i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace

const char* run(const Configuration& wanted, const void* object, void (*body)(void*),
                void* argument) {
  ThreadLocal statics{reinterpret_cast<std::uintptr_t>(object)};
  dl_iterate_phdr(find_thread_local, &statics);
  if (!check(wanted, static_cast<u64>(statics.end - statics.begin))) return take_message();
  const Launch launch{wanted.grid, wanted.n_threads, wanted.shared_bytes,
                      wanted.seed, statics.begin,    statics.end,
                      body,        argument};
  Random random(wanted.seed);
  const Faults faults;
  gridDim = wanted.grid;
  blockDim = dim3(wanted.n_threads);
  for (const u32 number : order_of(gridDim.x * gridDim.y * gridDim.z, wanted.seed, random)) {
    blockIdx = {number % gridDim.x, number / gridDim.x % gridDim.y, number / gridDim.x / gridDim.y};
    prepare_shared_memory(launch, random);
    if (!run_block(launch, random)) return take_message();
    check_shared_memory();
    if (failed()) return take_message();
  }
  return nullptr;
}

}  // namespace emulated
