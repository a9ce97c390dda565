// cp.async: the bytes come at some time between the issue and the wait, and through the generic
// proxy.
#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "shared_memory.hpp"

namespace emulated {
namespace {

struct Copy {
  void* shared;
  const void* global;
  u32 bytes;
  u32 number;  // 0 until the bytes have come
};

// What one thread has issued and not waited for, and what its next proxy fence publishes.
struct Copies {
  std::vector<Copy> uncommitted;
  std::deque<std::vector<Copy>> groups;
  std::vector<Copy> complete;
  std::size_t prune_at = 0;

  void reset() {
    uncommitted.clear();
    groups.clear();
    complete.clear();
    prune_at = kPrune;
  }
  static constexpr std::size_t kPrune = 1024;
};

Copies threads[kMaxThreads];
u32 last_number;

void perform(Copy& copy) {
  if (copy.number != 0) return;
  copy.number = ++last_number;
  std::memcpy(copy.shared, copy.global, copy.bytes);
  mark_unpublished(copy.shared, copy.bytes, copy.number);
}

bool is_overwritten(const Copy& copy) {
  return !is_dynamic(copy.shared, copy.bytes) || !is_marked(copy.shared, copy.bytes, copy.number);
}

// A kernel without wgmma never fences, and its copies must not pile up.
void prune(Copies& copies) {
  if (copies.complete.size() < copies.prune_at) return;
  std::erase_if(copies.complete, is_overwritten);
  copies.prune_at = std::max(Copies::kPrune, 2 * copies.complete.size());
}

}  // namespace

void reset_copies() {
  for (u32 thread = 0; thread < launch().n_threads; ++thread) threads[thread].reset();
  last_number = 0;
}

void copy(void* shared, const void* global, unsigned bytes) {
  check_alignment("copy_async to shared memory", shared, bytes);
  check_alignment("copy_async from global memory", global, bytes);
  if (!is_shared(shared, bytes)) fail("copy_async to %p, outside shared memory", shared);
  if (global == nullptr) fail("copy_async from a null pointer");
  Copy issued{shared, global, bytes, 0};
  if (happens_early()) perform(issued);
  threads[this_thread()].uncommitted.push_back(issued);
}

void commit_copies() {
  Copies& copies = threads[this_thread()];
  copies.groups.push_back(std::move(copies.uncommitted));
  copies.uncommitted.clear();
}

void wait_copies(unsigned pending) {
  Copies& copies = threads[this_thread()];
  while (copies.groups.size() > pending) {
    for (Copy& copy : copies.groups.front()) {
      perform(copy);
      copies.complete.push_back(copy);
    }
    copies.groups.pop_front();
    prune(copies);
  }
}

void publish_copies() {
  Copies& copies = threads[this_thread()];
  for (const Copy& copy : copies.complete) mark_published(copy.shared, copy.bytes, copy.number);
  copies.complete.clear();
}

}  // namespace emulated
