// Where threads meet: collectives of a warp, and barriers of the block.
#include <algorithm>
#include <bit>
#include <cstring>

#include "scheduler.hpp"

namespace emulated {
namespace {

constexpr int kBarriers = 16;

// Lanes that have come to one collective of their warp.
struct Gathering {
  Site site;
  u32 mask;
  u32 arrived;
  void* brought[kWarp];
};

struct Warp {
  u32 open;  // which gatherings exist, by the lane that came first
  Gathering gatherings[kWarp];
};

struct Barrier {
  u32 expected;
  u32 arrived;
  u32 votes;
  Votes result;            // of the phase that has ended: all read it before the next one can end
  Site sites[kMaxWarps];   // where the warp's first thread came from
  u32 waiting[kMaxWarps];  // lanes
};

Warp warps[kMaxWarps];
Barrier barriers[kBarriers];

bool is_same(const Site& one, const Site& other) {
  const auto same = [](const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; };
  return one.line == other.line && same(one.what, other.what) && same(one.file, other.file);
}

void check_mask(const Site& site, u32 mask) {
  const u32 lane = this_lane();
  if ((mask >> lane & 1) == 0) {
    fail("%s at line %d: mask %#x lacks the calling lane %u", site.what, site.line, mask, lane);
  }
  const u32 missing = mask & ~living_lanes(this_warp());
  if (missing == 0) return;
  fail("deadlock: %s at line %d waits for lanes %#x, which have ended or never were", site.what,
       site.line, missing);
}

// The gathering to join, or null. Fails where a lane that this one waits for waits for this one
// elsewhere: neither could go on.
Gathering* find_gathering(Warp& warp, const Site& site, u32 mask) {
  Gathering* found = nullptr;
  for (u32 open = warp.open; open != 0; open &= open - 1) {
    Gathering& other = warp.gatherings[std::countr_zero(open)];
    if (other.mask == mask && is_same(other.site, site)) {
      found = &other;
    } else if ((other.mask >> this_lane() & 1) != 0 && (other.arrived & mask) != 0) {
      fail("%s at line %d (mask %#x) needs lanes %#x, which are in %s at line %d (mask %#x)",
           site.what, site.line, mask, other.arrived & mask, other.site.what, other.site.line,
           other.mask);
    }
  }
  return found;
}

void end_phase(Barrier& barrier) {
  barrier.result = {barrier.arrived, barrier.votes};
  barrier.arrived = barrier.votes = 0;
  for (u32 warp = 0; warp < launch().n_warps(); ++warp) {
    wake_lanes(warp, barrier.waiting[warp]);
    barrier.waiting[warp] = 0;
  }
}

Votes join(Barrier& barrier, u32 expected, const Wait& wait, bool vote) {
  barrier.votes += vote ? 1 : 0;
  if (++barrier.arrived == expected) {
    end_phase(barrier);
    interleave();
  } else {
    barrier.waiting[this_warp()] |= 1u << this_lane();
    sleep(wait);
  }
  return barrier.result;
}

}  // namespace

void reset_meetings() {
  for (Warp& warp : warps) warp.open = 0;
  std::fill_n(barriers, kBarriers, Barrier{});
}

void meetings_without(u32 thread) {
  const Warp& warp = warps[thread / kWarp];
  for (u32 open = warp.open; open != 0; open &= open - 1) {
    const Gathering& gathering = warp.gatherings[std::countr_zero(open)];
    if ((gathering.mask >> thread % kWarp & 1) == 0) continue;
    fail("deadlock: the thread has ended, and lanes %#x wait for it in %s at line %d (mask %#x)",
         gathering.arrived, gathering.site.what, gathering.site.line, gathering.mask);
  }
  Barrier& block = barriers[0];
  if (block.arrived > 0 && block.arrived == n_living()) end_phase(block);
}

void meet_warp(const Site& site, u32 mask, void* brought, Finish finish) {
  check_mask(site, mask);
  Warp& warp = warps[this_warp()];
  const u32 lane = this_lane();
  Gathering* gathering = find_gathering(warp, site, mask);
  if (gathering == nullptr) {
    gathering = &warp.gatherings[lane];
    gathering->site = site;
    gathering->mask = mask;
    gathering->arrived = 0;
    warp.open |= 1u << lane;
  }
  gathering->arrived |= 1u << lane;
  gathering->brought[lane] = brought;
  if (gathering->arrived != mask) {
    sleep({site, " (mask %#llx)", {mask}});
    return;
  }
  if (finish != nullptr) finish(gathering->brought, mask);
  warp.open &= ~(1u << (gathering - warp.gatherings));
  wake_lanes(this_warp(), mask & ~(1u << lane));
  interleave();
}

Votes meet_block(const Site& site, bool vote) {
  Barrier& barrier = barriers[0];
  Site& first = barrier.sites[this_warp()];
  if (barrier.waiting[this_warp()] == 0) first = site;
  if (!is_same(first, site)) {
    fail("%s at line %d: other lanes of the warp are in %s at line %d", site.what, site.line,
         first.what, first.line);
  }
  return join(barrier, n_living(), {site}, vote);
}

void meet_threads(int number, int n_threads) {
  if (number < 1 || number >= kBarriers || n_threads <= 0 || n_threads % kWarp != 0) {
    fail("named_barrier(%d, %d): expected a number of 1..15 and whole warps", number, n_threads);
  }
  // bar.sync is "aligned": all lanes of a warp come to the same one.
  struct Brought {
    int number, n_threads;
  } mine{number, n_threads};
  meet_warp({"named_barrier", "", 0}, kFullMask, &mine, [](void* const* brought, u32) {
    for (u32 lane = 1; lane < kWarp; ++lane) {
      if (std::memcmp(brought[0], brought[lane], sizeof(Brought)) == 0) continue;
      fail("named_barrier: lanes of one warp are at different barriers");
    }
  });
  Barrier& barrier = barriers[number];
  const auto expected = static_cast<u32>(n_threads);
  if (barrier.arrived == 0) barrier.expected = expected;
  if (barrier.expected != expected) {
    fail("named_barrier %d: some threads expect %u threads, others %u", number, barrier.expected,
         expected);
  }
  join(barrier, expected,
       {{"named_barrier", "", 0},
        " %llu of %llu threads",
        {static_cast<u64>(number), static_cast<u64>(n_threads)}},
       false);
}

}  // namespace emulated
