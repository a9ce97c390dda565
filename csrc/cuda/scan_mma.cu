// Hits by 1-bit matrix multiplies, for batches: a warp multiplies 16 codes, loaded from memory
// straight into the fragment, with the HAMMING_QUERIES queries (a multiple of 8) that it holds in
// registers. A multiply counts the bits that two codes share: d(x, y) = |x| + |y| - 2 popc(x & y);
// up to 128 bits [x, ~x] . [~y, y] counts those that differ, at once. HAMMING_WORDS is not 0.
//
// Fragments (PTX ISA, mma.m16n8k256): lane 4 g + t holds two of the eight words of a k-step, of
// rows g and g + 8 of A and of column g of B. A and B only have to name the same word in the same
// place, so a lane takes adjacent ones and loads them together. It ends up with columns 2 t and 2 t
// + 1 of both rows.
constexpr int kBuffered = 128;
#include "hits.cuh"

constexpr int kQueries = HAMMING_QUERIES;
constexpr int kColumns = kQueries / 8;  // multiplies for 16 codes, of 8 queries each
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kGroup = 16;                                  // codes to a multiply
constexpr bool kDirect = kWords <= 4;                       // distances without norms
constexpr int kSteps = (kWords + 7) / 8;                    // multiplies of 256 bits for a code
constexpr bool kPaired = kAlign == 16 && kWords % 16 == 0;  // one load for two steps
constexpr int kAhead = HAMMING_AHEAD;  // groups that are compared while as many are loaded
constexpr int kTile = kWarps * kGroup * kAhead;
constexpr i32 kNever = -(1 << 28);

static_assert(kQueries % 8 == 0 && kWords > 0, "whole columns of known width");

// The words of one row that this lane holds: two for each step.
struct Share {
  u32 words[kSteps][2];
};

HAMMING_DEVICE Share load_share(const u8* row, i64 n_bytes) {
  const int t = lane_id() % 4;
  Share share;
  if constexpr (kPaired) {
#pragma unroll
    for (int pair = 0; pair < kSteps / 2; ++pair) {
      const uint4 chunk = load_chunk(row + 64 * pair + 16 * t);
      share.words[2 * pair][0] = chunk.x;
      share.words[2 * pair][1] = chunk.y;
      share.words[2 * pair + 1][0] = chunk.z;
      share.words[2 * pair + 1][1] = chunk.w;
    }
  } else {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      load_two(row, n_bytes, 8 * step + 2 * (kDirect ? t % 2 : t), share.words[step]);
    }
  }
  return share;
}

// The same words of a query, which lies in memory as padded words.
HAMMING_DEVICE Share query_share(const u32* query) {
  const int t = lane_id() % 4;
  Share share;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int word = kPaired ? 16 * (step / 2) + 4 * t + 2 * (step % 2) + i
                               : 8 * step + 2 * (kDirect ? t % 2 : t) + i;
      share.words[step][i] = word < kWords ? query[word] : 0;
    }
  }
  return share;
}

// Lanes 0 and 1 of four multiply x with ~y, lanes 2 and 3 ~x with y.
HAMMING_DEVICE void complement(Share& share, bool here) {
  if constexpr (kDirect) {
    const u32 flip = here ? ~0u : 0u;
    share.words[0][0] ^= flip;
    share.words[0][1] ^= flip;
  }
}

HAMMING_DEVICE u32 norm_of(const Share& share) {
  u32 bits = 0;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    bits += __popc(share.words[step][0]) + __popc(share.words[step][1]);
  }
  return bits;
}

// What a lane knows of its queries.
struct Queries {
  Share shares[kColumns];
  // What products begin with, so that they must reach half of the code's norm (kDirect: the negated
  // limit, and they must be negative). As the multiplies take it: once for each row.
  i32 terms[kColumns][4];
};

// The same of the block, in shared memory.
struct Columns {
  i32 limits[kQueries];
  i32 norms[kQueries];
  i32 terms[2][kQueries];      // the same twice: once for each row of a fragment
  Share shares[kColumns][32];  // of each lane, for code that does not know its column beforehand
};

// Sixteen codes: this lane's share of rows g and g + 8, and as bits whether they can be hits.
struct Codes {
  Share shares[2];
  u32 there;
};

// The kAhead groups from row `first` on, of which this lane's first row lies at `row`.
HAMMING_DEVICE void load_groups(const Search& search, i64 first, const u8* row,
                                Codes (&groups)[kAhead]) {
  const i64 n_bytes = row_bytes(search), own = first + lane_id() / 4;
  if (first + kAhead * kGroup <= search.end) {
#pragma unroll
    for (int i = 0; i < 2 * kAhead; ++i) {
      groups[i / 2].shares[i % 2] = load_share(row + 8 * i * n_bytes, n_bytes);
      groups[i / 2].there = 3;
    }
  } else {  // past the end: the last code, which is no hit
#pragma unroll
    for (int i = 0; i < 2 * kAhead; ++i) {
      const i64 inside = min(own + 8 * i, search.end - 1);
      groups[i / 2].shares[i % 2] = load_share(search.codes + inside * n_bytes, n_bytes);
      const u32 there = own + 8 * i < search.end;
      groups[i / 2].there = i % 2 == 0 ? there : groups[i / 2].there | there << 1;
    }
  }
  if (search.mask == nullptr) return;
#pragma unroll
  for (int i = 0; i < 2 * kAhead; ++i) {
    const i64 inside = min(own + 8 * i, search.end - 1);
    if (search.mask[inside] == 0) groups[i / 2].there &= i % 2 == 0 ? 2 : 1;
  }
}

// sums = terms + this lane's products of 16 codes with a column.
HAMMING_DEVICE void multiply(const Codes& codes, const Share& column, const i32 (&terms)[4],
                             i32 (&sums)[4]) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const u32 a[4] = {codes.shares[0].words[step][0], codes.shares[1].words[step][0],
                      codes.shares[0].words[step][1], codes.shares[1].words[step][1]};
    const u32(&words)[2] = column.words[step];
    if (step == 0) {
      mma_and_popc(sums, a, words[0], words[1], terms);
    } else {
      mma_and_popc(sums, a, words[0], words[1], sums);
    }
  }
}

// Takes the hits among 16 codes in the columns that `near_columns` has a bit for; `group` counts
// from the segment's first row. They are rare: products are made again, column by column.
HAMMING_DEVICE void offer(const Search& search, HitBuffer& buffer, const Columns& columns,
                          int first_query, const Codes& codes, const i32 (&code_norms)[2],
                          i64 group, u32 near_columns) {
  const int g = lane_id() / 4, t = lane_id() % 4;
  const i32 zeros[4] = {};
#pragma unroll 1
  for (; near_columns != 0; near_columns &= near_columns - 1) {
    const int j = __ffs(near_columns) - 1;
    i32 distances[4];
    multiply(codes, columns.shares[j][lane_id()], zeros, distances);
    u32 hits = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 8 * j + 2 * t + i % 2;
      if constexpr (!kDirect) {
        distances[i] = code_norms[i / 2] + columns.norms[column] - 2 * distances[i];
      }
      const bool there = (codes.there >> (i / 2) & 1) != 0;
      if (there && distances[i] < columns.limits[column]) hits |= 1u << i;
    }
    u64* place = room_for(search, buffer, first_query, static_cast<u32>(__popc(hits)));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if ((hits >> i & 1) == 0) continue;
      *place++ = buffered_hit(8 * j + 2 * t + i % 2, static_cast<u32>(distances[i]),
                              group + g + 8 * (i / 2));
    }
  }
}

HAMMING_DEVICE void compare(const Search& search, const Queries& queries, HitBuffer& buffer,
                            const Columns& columns, int first_query, Codes& codes, i64 group) {
  i32 code_norms[2] = {0, 0}, least[2] = {0, 0};
  if constexpr (!kDirect) {
    // A column of ones counts the bits of a row, and leaves them where they are needed.
    const i32 zeros[4] = {};
    Share ones;
    i32 counted[4];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) ones.words[step][0] = ones.words[step][1] = ~0u;
    multiply(codes, ones, zeros, counted);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      code_norms[half] = counted[2 * half];
      least[half] = counted[2 * half] >> 1;
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) complement(codes.shares[half], lane_id() % 4 >= 2);
  i32 sums[kColumns][4];
#pragma unroll
  for (int j = 0; j < kColumns; ++j) multiply(codes, queries.shares[j], queries.terms[j], sums[j]);
  bool near = false;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    i32 best = kDirect ? 0 : kNever;
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {  // one instruction for two of them
      const i32 one = sums[j][2 * half], other = sums[j][2 * half + 1];
      best = kDirect ? min(best, min(one, other)) : max(best, max(one, other));
    }
    near |= kDirect ? best < 0 : best >= least[half];
  }
  if (!__any_sync(kWarp, near)) return;
  u32 near_columns = 0;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    near = false;
#pragma unroll
    for (int i = 0; i < 4; ++i) near |= kDirect ? sums[j][i] < 0 : sums[j][i] >= least[i / 2];
    if (__any_sync(kWarp, near)) near_columns |= 1u << j;
  }
  offer(search, buffer, columns, first_query, codes, code_norms, group - search.begin,
        near_columns);
}

// The queries of a block.
HAMMING_DEVICE Queries load_queries(const Search& search, Columns& columns, int first_query) {
  const int g = lane_id() / 4, t = lane_id() % 4;
  Queries queries;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    // Past the last query: some query's words, and a limit that nothing is below.
    const int query = min(first_query + 8 * j + g, search.n_queries - 1);
    Share share = query_share(search.queries + static_cast<i64>(query) * search.n_words);
    u32 norm = kDirect && t >= 2 ? 0 : norm_of(share);  // over the four lanes that share it
    norm += __shfl_xor_sync(kWarp, norm, 1);
    norm += __shfl_xor_sync(kWarp, norm, 2);
    complement(share, t < 2);
    if (threadIdx.x < 32) {
      columns.shares[j][lane_id()] = share;
      if (t == 0) {
        const bool there = first_query + 8 * j + g < search.n_queries;
        const i32 limit = there ? static_cast<i32>(search.limits[query]) : 0;
        // d < limit where 2 popc >= |x| + (|y| - limit + 1). Rounded so that nothing is missed: of
        // the halves, |x|'s down and the other up.
        const i32 rest = static_cast<i32>(norm) - limit + 1;
        const i32 term = kDirect ? -limit : limit == 0 ? kNever : -((rest + 1) >> 1);
        columns.norms[8 * j + g] = static_cast<i32>(norm);
        columns.limits[8 * j + g] = limit;
        columns.terms[0][8 * j + g] = columns.terms[1][8 * j + g] = term;
      }
    }
    queries.shares[j] = share;
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    // Read from two places, since the compiler would copy equal values again and again.
#pragma unroll
    for (int i = 0; i < 4; ++i) queries.terms[j][i] = columns.terms[i / 2][8 * j + 2 * t + i % 2];
  }
  return queries;
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) scan_mma(const Search search) {
  __shared__ Columns columns;
  __shared__ u64 buffers[kWarps][kBuffered];
  const int first_query = static_cast<int>(blockIdx.x) * kQueries;
  const Queries queries = load_queries(search, columns, first_query);
  HitBuffer buffer{buffers[threadIdx.x / 32], 0};
  const i64 stride = static_cast<i64>(gridDim.y) * kTile;
  i64 first = search.begin + static_cast<i64>(blockIdx.y) * kTile +
              static_cast<int>(threadIdx.x) / 32 * (kGroup * kAhead);
  const u8* row = search.codes + (first + lane_id() / 4) * row_bytes(search);
  Codes next[kAhead];
  load_groups(search, first, row, next);
  for (; first < search.end; first += stride) {
    Codes codes[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) codes[i] = next[i];
    row += stride * row_bytes(search);
    load_groups(search, first + stride, row, next);  // they come while these are compared
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      compare(search, queries, buffer, columns, first_query, codes[i], first + i * kGroup);
    }
  }
  hand_over(search, buffer, first_query);
}
