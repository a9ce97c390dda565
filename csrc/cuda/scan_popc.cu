// Hits by population counts: what a search of few queries is, because it waits for memory. Blocks
// take tiles of codes in turn, every gridDim.y-th. blockIdx.x is a group of kQueries queries:
// blocks that are neighbours in it read the same codes at about the same time.
#include "popc.cuh"

extern "C" __global__ void __launch_bounds__(kThreads, 2) scan_popc(const Search search) {
  const int first_query = static_cast<int>(blockIdx.x) * kQueries;
  const Queries queries(search, first_query);
  const i64 stride = static_cast<i64>(gridDim.y) * kTile;
  const bool masked = search.mask != nullptr;
  for (i64 tile = search.begin + static_cast<i64>(blockIdx.y) * kTile; tile < search.end;
       tile += stride) {
    const Step step(search, tile, search.end);
    bool near = false;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int c = 0; c < kCodes; ++c) {
        bool below = false;
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          below |= step.distance(queries, s, c, q) < queries.limits[q];
        }
        // Excluded codes must not open the branch below: the limit stays loose because of them.
        if (masked) below = below && step.answers(s, c);
        near |= below;
      }
    }
    // One vote for all codes and queries of a warp's step: hits are rare.
    if (!__any_sync(kWarp, near)) continue;
    visit_distances(step, queries, [&](bool answers, int q, u32 distance, i64 row) {
      append_warp(search, first_query + q, answers && distance < queries.limits[q], distance, row);
    });
  }
}

// The histograms of a sample: n_runs runs of run_codes codes (a multiple of 64), evenly spaced over
// the rows. Blocks take parts of runs. With `in_shared` a block counts in its dynamic shared
// memory, kQueries x n_distances counters, and adds them up at the end.
extern "C" __global__ void __launch_bounds__(kThreads, 2)
    sample(const Search search, const i64 n_runs, const i64 run_codes, const i32 in_shared) {
  const int first_query = static_cast<int>(blockIdx.x) * kQueries;
  const Queries queries(search, first_query);
  u32* const totals = search.histograms + static_cast<i64>(first_query) * search.n_distances;
  u32* const counters = in_shared != 0 ? reinterpret_cast<u32*>(dynamic_shared()) : totals;
  const int n_counters = queries.count * search.n_distances;
  if (in_shared != 0) {
    for (int i = static_cast<int>(threadIdx.x); i < n_counters; i += kThreads) counters[i] = 0;
    __syncthreads();
  }
  const i64 tiles = (run_codes + kTile - 1) / kTile;
  const i64 units = (search.end - search.begin) / 64;  // runs begin at multiples of 64 rows
  for (i64 part = blockIdx.y; part < n_runs * tiles; part += gridDim.y) {
    const i64 run = search.begin + 64 * (units / n_runs * (part / tiles));
    const Step step(search, run + part % tiles * kTile, min(run + run_codes, search.end));
    visit_distances(step, queries, [&](bool answers, int q, u32 distance, i64) {
      if (answers && q < queries.count) {
        atomicAdd(counters + static_cast<i64>(q) * search.n_distances + distance, 1u);
      }
    });
  }
  if (in_shared == 0) return;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n_counters; i += kThreads) {
    if (counters[i] != 0) atomicAdd(totals + i, counters[i]);
  }
}

// Every distance; out: (n_queries, n_codes).
extern "C" __global__ void __launch_bounds__(kThreads, 2)
    distances(const Search search, i32* const out, const i64 n_codes) {
  const int first_query = static_cast<int>(blockIdx.x) * kQueries;
  const Queries queries(search, first_query);
  const i64 stride = static_cast<i64>(gridDim.y) * kTile;
  for (i64 tile = search.begin + static_cast<i64>(blockIdx.y) * kTile; tile < search.end;
       tile += stride) {
    const Step step(search, tile, search.end);
    visit_distances(step, queries, [&](bool answers, int q, u32 distance, i64 row) {
      if (answers && q < queries.count) {
        out[static_cast<i64>(first_query + q) * n_codes + row] = static_cast<i32>(distance);
      }
    });
  }
}
