// What the threads of a warp or a block do together. Lanes must come to the same line: CUDA wants
// the same instruction.
#pragma once

#include "runtime.hpp"

#define EMULATED_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emulated {

struct Vote {
  bool mine;
  unsigned ballot;
};

inline unsigned ballot(const Site& site, unsigned mask, bool mine) {
  Vote vote{mine, 0};
  meet_warp(site, mask, &vote, [](void* const* brought, unsigned lanes) {
    unsigned all = 0;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((lanes >> lane & 1) != 0 && static_cast<const Vote*>(brought[lane])->mine) {
        all |= 1u << lane;
      }
    }
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((lanes >> lane & 1) != 0) static_cast<Vote*>(brought[lane])->ballot = all;
    }
  });
  return vote.ballot;
}

template <class T>
struct Match {
  T mine;
  unsigned same;
};

template <class T>
unsigned match_any(const Site& site, unsigned mask, T value) {
  Match<T> match{value, 0};
  meet_warp(site, mask, &match, [](void* const* brought, unsigned lanes) {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((lanes >> lane & 1) == 0) continue;
      auto& to = *static_cast<Match<T>*>(brought[lane]);
      for (unsigned other = 0; other < kWarp; ++other) {
        if ((lanes >> other & 1) == 0) continue;
        if (static_cast<const Match<T>*>(brought[other])->mine == to.mine) to.same |= 1u << other;
      }
    }
  });
  return match.same;
}

template <class T>
struct Shuffled {
  T mine;
  int source;  // a lane, or -1 for the lane itself
  T result;
};

template <class T>
T shuffle(const Site& site, unsigned mask, T value, int source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "what a shuffle moves");
  Shuffled<T> shuffled{value, source, value};
  meet_warp(site, mask, &shuffled, [](void* const* brought, unsigned lanes) {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((lanes >> lane & 1) == 0) continue;
      auto& to = *static_cast<Shuffled<T>*>(brought[lane]);
      if (to.source < 0) continue;
      if ((lanes >> to.source & 1) != 0) {
        to.result = static_cast<const Shuffled<T>*>(brought[to.source])->mine;
      } else {
        __builtin_memset(&to.result, kPoison & 0xFF, sizeof(T));  // CUDA: undefined
      }
    }
  });
  return shuffled.result;
}

// Small integers become int, as in a call of CUDA's overloads.
template <class T>
using Promoted = decltype(+T());

inline int lane_of_thread() { return static_cast<int>(threadIdx.x % kWarp); }
inline int segment_begin(int width) { return lane_of_thread() & ~(width - 1); }

}  // namespace emulated

template <class T>
emulated::Promoted<T> __shfl_sync(unsigned mask, T value, int source, int width = 32,
                                  EMULATED_HERE) {
  const int lane = emulated::segment_begin(width) + (source & (width - 1));
  return emulated::shuffle<emulated::Promoted<T>>({"__shfl_sync", file, line}, mask, value, lane);
}
template <class T>
emulated::Promoted<T> __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                     EMULATED_HERE) {
  const int lane = emulated::lane_of_thread() - static_cast<int>(delta);
  return emulated::shuffle<emulated::Promoted<T>>(
      {"__shfl_up_sync", file, line}, mask, value,
      lane >= emulated::segment_begin(width) ? lane : -1);
}
template <class T>
emulated::Promoted<T> __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                       EMULATED_HERE) {
  const int lane = emulated::lane_of_thread() + static_cast<int>(delta);
  const int end = emulated::segment_begin(width) + width;
  return emulated::shuffle<emulated::Promoted<T>>({"__shfl_down_sync", file, line}, mask, value,
                                                  lane < end ? lane : -1);
}
template <class T>
emulated::Promoted<T> __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                                      EMULATED_HERE) {
  const int lane = emulated::lane_of_thread() ^ lanes;
  const int end = emulated::segment_begin(width) + width;
  return emulated::shuffle<emulated::Promoted<T>>({"__shfl_xor_sync", file, line}, mask, value,
                                                  lane < end ? lane : -1);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_HERE) {
  return emulated::ballot({"__ballot_sync", file, line}, mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate, EMULATED_HERE) {
  return emulated::ballot({"__any_sync", file, line}, mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATED_HERE) {
  return emulated::ballot({"__all_sync", file, line}, mask, predicate != 0) == mask;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, EMULATED_HERE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "what CUDA compares");
  return emulated::match_any({"__match_any_sync", file, line}, mask, value);
}
// Lanes may come to it from different places.
inline void __syncwarp(unsigned mask = emulated::kFullMask) {
  emulated::meet_warp({"__syncwarp", "", 0}, mask, nullptr, nullptr);
}

inline void __syncthreads(EMULATED_HERE) {
  emulated::meet_block({"__syncthreads", file, line}, false);
}
inline int __syncthreads_count(int predicate, EMULATED_HERE) {
  return static_cast<int>(
      emulated::meet_block({"__syncthreads_count", file, line}, predicate != 0).votes);
}
inline int __syncthreads_or(int predicate, EMULATED_HERE) {
  return emulated::meet_block({"__syncthreads_or", file, line}, predicate != 0).votes != 0;
}
inline int __syncthreads_and(int predicate, EMULATED_HERE) {
  const emulated::Votes all =
      emulated::meet_block({"__syncthreads_and", file, line}, predicate != 0);
  return all.votes == all.threads;
}

#undef EMULATED_HERE
