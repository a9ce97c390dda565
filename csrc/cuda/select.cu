// Exact selection between the segments of a search. Distances are small integers: the k-th smallest
// of what has been looked at is read off a histogram, bounds the answer, and is the limit of what
// comes next. Segments are consecutive rows, so once k hits are held, later ones at the k-th
// distance have larger indices and cannot enter. One block works on one query.
#include "block.cuh"

constexpr int kThreads = 256;
constexpr int kIndexBits = 40;
constexpr u64 kIndexMask = (u64{1} << kIndexBits) - 1;

// Its twin is SELECTION in hamming/backends/cuda_search.py.
struct Selection {
  u32* limits;      // (n_queries,)
  u64* counts;      // (n_queries,): hits found
  u32* histograms;  // (n_queries, n_distances)
  u64* hits;        // those of query q begin at starts[q]
  i64* starts;      // (n_queries + 1,)
  u64* kept;        // (n_queries,): hits that earlier segments left
  u32* flooded;     // the queries whose hits did not fit, in any order
  u32* n_flooded;
  u64* wanted;  // (n_queries,): of a flooded query, how many hits at the limit to place
  i64 k;
  i32 n_queries;
  i32 n_distances;
};

// An empty selection with room for `capacity` hits a query.
extern "C" __global__ void __launch_bounds__(kThreads)
    start(const Selection state, const i64 capacity) {
  const i64 thread = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x;
  const i64 stride = static_cast<i64>(gridDim.x) * kThreads;
  for (i64 i = thread; i < static_cast<i64>(state.n_queries) * state.n_distances; i += stride) {
    state.histograms[i] = 0;
  }
  for (i64 q = thread; q < state.n_queries; q += stride) {
    state.limits[q] = static_cast<u32>(state.n_distances);  // above every distance
    state.counts[q] = state.kept[q] = state.wanted[q] = 0;
    state.starts[q] = q * capacity;
  }
  if (thread == 0) {
    state.starts[state.n_queries] = state.n_queries * capacity;
    *state.n_flooded = 0;
  }
}

// The k-th smallest distance that a histogram counts, and how many lie below it.
struct Kth {
  u32 distance;
  u64 below;
  bool found;
};

HAMMING_DEVICE Kth kth_distance(const u32* histogram, i32 n_distances, u64 k) {
  __shared__ u32 shared_distance;
  __shared__ u64 shared_below;
  u64 before = 0;
  for (i32 first = 0; first < n_distances; first += kThreads) {
    const i32 distance = first + static_cast<i32>(threadIdx.x);
    const u64 here = distance < n_distances ? histogram[distance] : 0;
    u64 total;
    const u64 below = before + block_exclusive<kThreads>(here, total);
    if (below < k && below + here >= k) {
      shared_distance = static_cast<u32>(distance);
      shared_below = below;
    }
    before += total;
    if (before >= k) {
      __syncthreads();
      return {shared_distance, shared_below, true};
    }
  }
  return {0, 0, false};
}

// After a sample: its k-th distance bounds that of all rows, which may well be equal to it.
extern "C" __global__ void __launch_bounds__(kThreads) bound(const Selection state) {
  const int query = static_cast<int>(blockIdx.x);
  u32* histogram = state.histograms + static_cast<i64>(query) * state.n_distances;
  const Kth kth = kth_distance(histogram, state.n_distances, static_cast<u64>(state.k));
  if (threadIdx.x == 0 && kth.found) state.limits[query] = kth.distance + 1;
  __syncthreads();
  for (i32 d = static_cast<i32>(threadIdx.x); d < state.n_distances; d += kThreads) {
    histogram[d] = 0;
  }
}

// After a segment: the new limit; and for a query whose hits did not fit, what is to be placed.
extern "C" __global__ void __launch_bounds__(kThreads) tighten(const Selection state) {
  const int query = static_cast<int>(blockIdx.x);
  const u32 limit = state.limits[query];
  const Kth kth = kth_distance(state.histograms + static_cast<i64>(query) * state.n_distances,
                               state.n_distances, static_cast<u64>(state.k));
  const i64 start = state.starts[query];
  const u64 capacity = static_cast<u64>(state.starts[query + 1] - start);
  const bool flooded = state.counts[query] > capacity;
  __syncthreads();  // everyone has read the old state
  if (threadIdx.x != 0) return;
  if (kth.found) state.limits[query] = kth.distance;
  if (!flooded) return;
  state.counts[query] = state.kept[query];
  // Some of these may be in excess, because earlier segments had hits at the limit too; trim()
  // looks. At the limit of before nothing of this segment was a hit.
  const u64 k = static_cast<u64>(state.k);
  state.wanted[query] = kth.distance < limit ? k - kth.below : 0;
  state.flooded[atomicAdd(state.n_flooded, 1u)] = static_cast<u32>(query);
}

// Long lists are one block's work, so it is a large one.
constexpr int kTrimThreads = 1024;

// The row of the `wanted`-th hit at `distance`, by row: a radix selection, eight bits at a time.
HAMMING_DEVICE u64 nth_row(const u64* hits, u64 count, u32 distance, u64 wanted) {
  __shared__ u32 digits[256];
  __shared__ u64 shared_prefix, shared_wanted;
  u64 prefix = 0;
  for (int shift = kIndexBits - 8; shift >= 0; shift -= 8) {
    if (threadIdx.x < 256) digits[threadIdx.x] = 0;
    __syncthreads();
    for (u64 i = threadIdx.x; i < count; i += kTrimThreads) {
      const u64 hit = hits[i];
      if (hit >> kIndexBits == distance && ((hit & kIndexMask) >> shift >> 8) == prefix) {
        atomicAdd(&digits[hit >> shift & 255], 1u);
      }
    }
    __syncthreads();
    u64 total;
    const u64 here = threadIdx.x < 256 ? digits[threadIdx.x] : 0;
    const u64 below = block_exclusive<kTrimThreads>(here, total);
    if (below < wanted && below + here >= wanted) {
      shared_prefix = prefix << 8 | threadIdx.x;
      shared_wanted = wanted - below;
    }
    __syncthreads();
    prefix = shared_prefix;
    wanted = shared_wanted;
    __syncthreads();
  }
  return prefix;
}

// Moves the hits that can still be part of the answer to the front and returns how many they are.
// What is written has been read: positions never grow.
HAMMING_DEVICE u64 compact(u64* hits, u64 count, u32 distance, u64 last_row) {
  u64 kept = 0;
  for (u64 first = 0; first < count; first += kTrimThreads) {
    const u64 at = first + threadIdx.x;
    const u64 hit = at < count ? hits[at] : ~u64{0};
    const u64 own = hit >> kIndexBits;
    const u32 keep = own < distance || (own == distance && (hit & kIndexMask) <= last_row);
    u32 total;
    const u32 place = block_exclusive<kTrimThreads>(keep, total);
    if (keep != 0) hits[kept + place] = hit;
    kept += total;
    __syncthreads();
  }
  return kept;
}

// After the hits of a segment are complete: where more than `most` are held (0: than k and than fit
// half of the buffer), only the k nearest stay, so that the next segment finds room.
extern "C" __global__ void __launch_bounds__(kTrimThreads)
    trim(const Selection state, const i64 most) {
  const int query = static_cast<int>(blockIdx.x);
  const i64 start = state.starts[query];
  const u64 capacity = static_cast<u64>(state.starts[query + 1] - start);
  u64 count = state.counts[query];
  const u64 k = static_cast<u64>(state.k);
  if (count > (most > 0 ? static_cast<u64>(most) : max(k, capacity / 2))) {
    u64* hits = state.hits + start;
    const u32 distance = state.limits[query];  // k are held, so it is the k-th distance
    u64 mine_below = 0, mine_at = 0;
    for (u64 i = threadIdx.x; i < count; i += kTrimThreads) {
      const u64 own = hits[i] >> kIndexBits;
      mine_below += own < distance;
      mine_at += own == distance;
    }
    const u64 below = block_sum<kTrimThreads>(mine_below), at = block_sum<kTrimThreads>(mine_at);
    const u64 wanted = k - below;
    const u64 last = at <= wanted ? kIndexMask : nth_row(hits, count, distance, wanted);
    count = compact(hits, count, distance, last);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    state.counts[query] = state.kept[query] = count;
    if (query == 0) *state.n_flooded = 0;
  }
}

// Codes as zero-padded words: what every kernel takes queries as.
extern "C" __global__ void __launch_bounds__(kThreads)
    pad_words(const u8* const codes, u32* const words, const i64 n_codes, const i64 n_bytes,
              const i64 n_words) {
  const i64 stride = static_cast<i64>(gridDim.x) * kThreads;
  for (i64 i = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x; i < n_codes * n_words;
       i += stride) {
    const i64 code = i / n_words, byte = i % n_words * 4;
    u32 word = 0;
    for (i64 b = 0; b < 4; ++b) {
      if (byte + b < n_bytes) {
        word |= static_cast<u32>(codes[code * n_bytes + byte + b]) << (8 * b);
      }
    }
    words[i] = word;
  }
}

// A radius search counts before it fills: limits of radius + 1, and no hits yet.
extern "C" __global__ void __launch_bounds__(kThreads)
    start_radius(const Selection state, const u32 limit) {
  const i64 stride = static_cast<i64>(gridDim.x) * kThreads;
  for (i64 q = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x; q <= state.n_queries;
       q += stride) {
    state.starts[q] = 0;
    if (q == state.n_queries) break;
    state.limits[q] = limit;
    state.counts[q] = 0;
  }
}

// From counts to places: starts[q] becomes the sum of those before. `sizes` become the total, which
// is the last of the places too, and the most of one query. One block.
extern "C" __global__ void __launch_bounds__(kThreads)
    place_lists(const Selection state, u64* const sizes) {
  u64 before = 0, most = 0;
  for (i32 first = 0; first < state.n_queries; first += kThreads) {
    const i32 query = first + static_cast<i32>(threadIdx.x);
    const u64 here = query < state.n_queries ? state.counts[query] : 0;
    u64 total;
    const u64 place = before + block_exclusive<kThreads>(here, total);
    if (query < state.n_queries) {
      state.starts[query] = static_cast<i64>(place);
      state.counts[query] = 0;
    }
    most = max(most, here);
    before += total;
  }
  if (threadIdx.x == 0) {
    state.starts[state.n_queries] = static_cast<i64>(before);
    sizes[0] = before;
    sizes[1] = 0;
  }
  __syncthreads();
  atomicMax(sizes + 1, most);
}
