// Sorts each query's 64-bit keys: tiles in shared memory, then merges of pairs of runs between two
// buffers. Keys differ, or need no order among equals. As many merges are launched as the longest
// list could need; those that a list does not need leave it where it is, and who reads the result
// asks sorted() where that is.
#include "ptx.cuh"

constexpr int kThreads = 256;
constexpr int kSortTile = 2048;
constexpr int kIndexBits = 40;
constexpr u64 kIndexMask = (u64{1} << kIndexBits) - 1;
constexpr u64 kLast = ~u64{0};

// Query q's keys: `counts[q]` of them from starts[q] on.
struct Lists {
  u64* keys;
  u64* spare;
  const i64* starts;
  const u64* counts;
  i64 n_lists;
};

// Every list has as many blocks as the others, which take its places in turn.
struct Share {
  int query;
  i64 first;
  i64 stride;

  // `items`: places that a block takes at a time.
  HAMMING_DEVICE Share(const Lists& lists, int items) {
    const u32 blocks = gridDim.x / static_cast<u32>(lists.n_lists);
    query = static_cast<int>(blockIdx.x / blocks);
    first = static_cast<i64>(blockIdx.x % blocks) * items;
    stride = static_cast<i64>(blocks) * items;
  }
};

HAMMING_DEVICE i64 list_length(const Lists& lists, int query) {
  const i64 room = lists.starts[query + 1] - lists.starts[query];
  const u64 count = lists.counts[query];
  return count < static_cast<u64>(room) ? static_cast<i64>(count) : room;
}

// A bitonic sort of up to kSortTile keys.
HAMMING_DEVICE void sort_tile(u64* keys, int count, u64* tile) {
  int size = 64;  // of the network
  while (size < count) size *= 2;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
    tile[i] = i < count ? keys[i] : kLast;
  }
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int pair = static_cast<int>(threadIdx.x); pair < size / 2; pair += kThreads) {
        const int low = pair / step * (2 * step) + pair % step, high = low + step;
        const u64 a = tile[low], b = tile[high];
        if ((a > b) == ((low & run) == 0)) {
          tile[low] = b;
          tile[high] = a;
        }
      }
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) keys[i] = tile[i];
  __syncthreads();  // the tile may be overwritten from here on
}

extern "C" __global__ void __launch_bounds__(kThreads) sort_tiles(const Lists lists) {
  __shared__ u64 tile[kSortTile];
  const Share share(lists, kSortTile);
  const i64 length = list_length(lists, share.query);
  u64* keys = lists.keys + lists.starts[share.query];
  for (i64 first = share.first; first < length; first += share.stride) {
    const i64 left = length - first;
    sort_tile(keys + first, static_cast<int>(left < kSortTile ? left : kSortTile), tile);
  }
}

// How many keys of a sorted run come before `key`; equal ones do if `with_equal`.
HAMMING_DEVICE i64 rank_of(const u64* run, i64 length, u64 key, bool with_equal) {
  i64 low = 0, high = length;
  while (low < high) {
    const i64 middle = (low + high) / 2;
    if (run[middle] < key || (with_equal && run[middle] == key)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Merges neighbouring runs of `run` keys; merge number `round` of a list, from 0.
extern "C" __global__ void __launch_bounds__(kThreads)
    merge_runs(const Lists lists, const i64 run, const i32 round) {
  const Share share(lists, kThreads);
  const i64 length = list_length(lists, share.query), start = lists.starts[share.query];
  if (run >= length) return;
  const u64* from = (round % 2 == 0 ? lists.keys : lists.spare) + start;
  u64* to = (round % 2 == 0 ? lists.spare : lists.keys) + start;
  for (i64 at = share.first + threadIdx.x; at < length; at += share.stride) {
    const i64 first = at / (2 * run) * (2 * run);  // of the pair
    const bool left = at - first < run;
    const i64 other = left ? first + run : first;
    const i64 other_end = min(other + run, length);
    const i64 others = other < other_end ? other_end - other : 0;
    const u64 key = from[at];
    const i64 within = left ? at - first : at - first - run;
    to[first + within + rank_of(from + other, others, key, !left)] = key;
  }
}

// Where a sorted list lies: every merge it needed moved it.
HAMMING_DEVICE const u64* sorted(const Lists& lists, int query) {
  const i64 length = list_length(lists, query);
  bool moved = false;
  for (i64 run = kSortTile; run < length; run *= 2) moved = !moved;
  return (moved ? lists.spare : lists.keys) + lists.starts[query];
}

// Sorted hits as distances and indices. With `k` > 0 row q of the results has k places, the last of
// them empty where there are fewer hits; else query q's are at starts[q].
extern "C" __global__ void __launch_bounds__(kThreads)
    write_hits(const Lists lists, const i64 k, i32* const distances, i64* const indices) {
  const Share share(lists, kThreads);
  const i64 length = list_length(lists, share.query);
  const u64* keys = sorted(lists, share.query);
  const i64 out = k > 0 ? k * share.query : lists.starts[share.query];
  for (i64 at = share.first + threadIdx.x; at < (k > 0 ? k : length); at += share.stride) {
    const u64 hit = at < length ? keys[at] : kLast;
    distances[out + at] = at < length ? static_cast<i32>(hit >> kIndexBits) : 0x7fffffff;
    indices[out + at] = at < length ? static_cast<i64>(hit & kIndexMask) : -1;
  }
}

// Re-scoring sorts twice: candidates by row, then by score, in which their place in the first order
// decides between equals. A key of the first sort is row << 24 | place in the caller's list.
constexpr int kPlaceBits = 24;

// An unsigned integer that is the smaller the larger the score.
HAMMING_DEVICE u32 descending(float score) {
  const u32 bits = __float_as_uint(score);
  return bits >> 31 != 0 ? bits : ~(bits | 0x80000000u);
}

// The keys of the second sort, from the first one's result; by_row: where to keep that.
extern "C" __global__ void __launch_bounds__(kThreads)
    key_by_score(const Lists lists, const float* const scores, const i64 n_candidates,
                 u64* const by_row) {
  const Share share(lists, kThreads);
  const i64 start = lists.starts[share.query], length = list_length(lists, share.query);
  const u64* keys = sorted(lists, share.query);
  const float* own = scores + share.query * n_candidates;
  for (i64 rank = share.first + threadIdx.x; rank < length; rank += share.stride) {
    const u64 key = keys[rank];
    const i64 place = static_cast<i64>(key & ((u64{1} << kPlaceBits) - 1));
    const u32 order = key == kLast ? 0xffffffffu : descending(own[place]);
    by_row[start + rank] = key;
    lists.keys[start + rank] = static_cast<u64>(order) << 32 | static_cast<u64>(rank);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    write_scores(const Lists lists, const float* const scores, const i64 n_candidates,
                 const u64* const by_row, const i64 k, float* const out_scores,
                 i64* const out_indices) {
  const Share share(lists, kThreads);
  const u64* keys = sorted(lists, share.query);
  const u64* rows = by_row + lists.starts[share.query];
  const i64 out = share.query * k;
  for (i64 at = share.first + threadIdx.x; at < k; at += share.stride) {
    const u64 key = rows[keys[at] & 0xffffffffu];
    const i64 place = static_cast<i64>(key & ((u64{1} << kPlaceBits) - 1));
    const bool missing = key == kLast;
    out_scores[out + at] =
        missing ? __uint_as_float(0xff800000u) : scores[share.query * n_candidates + place];
    out_indices[out + at] = missing ? -1 : static_cast<i64>(key >> kPlaceBits);
  }
}

// Lists of `length` keys each.
extern "C" __global__ void __launch_bounds__(kThreads)
    equal_lists(i64* const starts, u64* const counts, const i64 n_lists, const i64 length) {
  const i64 stride = static_cast<i64>(gridDim.x) * kThreads;
  for (i64 q = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x; q <= n_lists; q += stride) {
    starts[q] = q * length;
    if (q < n_lists) counts[q] = static_cast<u64>(length);
  }
}
