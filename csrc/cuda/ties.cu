// What a flooded segment leaves to do. More hits than a query's buffer holds were found in it, so
// which of them were kept is chance; but all were counted, so the k-th distance is known. These two
// kernels read the segment again for the queries concerned: all hits below that distance are kept,
// which are fewer than k, and of those at it the first ones. Without floods they return at once.
//
// A segment is cut into n_chunks chunks of chunk_codes codes (a multiple of kTile), whose hits at
// the limit are counted first; the sum of the chunks before one tells which of its own are wanted.
#define HAMMING_STEPS 1  // few registers rather than many loads under way
#include "block.cuh"
#include "popc.cuh"

static_assert(kQueries == 1, "a block looks at one query");

// Which queries, and how many hits at the limit each still wants.
struct Floods {
  const u32* queries;  // (n_queries,), the first *count of them
  const u32* count;
  const u64* wanted;  // (n_queries,), by query
  u32* table;         // (n_queries, n_chunks): row f is of the f-th flooded query
  i64 chunk_codes;
  i64 n_chunks;
};

extern "C" __global__ void __launch_bounds__(kThreads, 2)
    count_ties(const Search search, const Floods floods) {
  const i64 items = static_cast<i64>(*floods.count) * floods.n_chunks;
  for (i64 item = blockIdx.x; item < items; item += gridDim.x) {
    const int query = static_cast<int>(floods.queries[item / floods.n_chunks]);
    const Queries queries(search, query);
    const i64 begin = search.begin + item % floods.n_chunks * floods.chunk_codes;
    const i64 end = min(begin + floods.chunk_codes, search.end);
    u32 ties = 0;
    if (floods.wanted[query] > 0) {
      for (i64 tile = begin; tile < end; tile += kTile) {
        const Step step(search, tile, end);
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
#pragma unroll
          for (int c = 0; c < kCodes; ++c) {
            const u32 distance = step.distance(queries, s, c, 0);
            ties += step.answers(s, c) && distance == queries.limits[0];
          }
        }
      }
    }
    const u32 total = block_sum<kThreads>(ties);
    if (threadIdx.x == 0) floods.table[item] = total;
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 2)
    place_ties(const Search search, const Floods floods) {
  const i64 items = static_cast<i64>(*floods.count) * floods.n_chunks;
  for (i64 item = blockIdx.x; item < items; item += gridDim.x) {
    const int query = static_cast<int>(floods.queries[item / floods.n_chunks]);
    const i64 chunk = item % floods.n_chunks;
    const Queries queries(search, query);
    u64 mine = 0;
    for (i64 other = threadIdx.x; other < chunk; other += kThreads) {
      mine += floods.table[item - chunk + other];
    }
    u64 rank = block_sum<kThreads>(mine);  // of the next hit at the limit
    const u64 wanted = floods.wanted[query];
    const i64 begin = search.begin + chunk * floods.chunk_codes;
    const i64 end = min(begin + floods.chunk_codes, search.end);
    for (i64 tile = begin; tile < end; tile += kTile) {
      const Step step(search, tile, end);
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        u32 ties = 0;
        u32 at_limit[kCodes];
#pragma unroll
        for (int c = 0; c < kCodes; ++c) {
          const u32 distance = step.distance(queries, s, c, 0);
          const bool answers = step.answers(s, c);
          if (answers && distance < queries.limits[0])
            append(search, query, distance, step.row(s, c));
          at_limit[c] = answers && distance == queries.limits[0];
          ties += at_limit[c];
        }
        u32 total;
        u64 own = rank + block_exclusive<kThreads>(ties, total);
#pragma unroll
        for (int c = 0; c < kCodes; ++c) {
          if (at_limit[c] == 0) continue;
          if (own < wanted) append(search, query, queries.limits[0], step.row(s, c));
          ++own;
        }
        rank += total;
      }
    }
  }
}
