// Hits by 1-bit matrix multiplies, for batches: a warp multiplies 16 codes, loaded from memory
// straight into the fragment, with the HAMMING_QUERIES queries (a multiple of 8) that it holds in
// registers. A multiply counts the bits that two codes share: d(x, y) = |x| + |y| - 2 popc(x & y);
// up to 128 bits [x, ~x] . [~y, y] counts those that differ, at once. HAMMING_WORDS is not 0.
//
// Fragments (PTX ISA, mma.m16n8k256): lane 4 g + t holds two of the eight words of a k-step, of
// rows g and g + 8 of A and of column g of B. A and B only have to name the same word in the same
// place, so a lane takes adjacent ones and loads them together. It ends up with columns 2 t and 2 t
// + 1 of both rows.
#include "codes.cuh"

constexpr int kQueries = HAMMING_QUERIES;
constexpr int kColumns = kQueries / 8;  // multiplies for 16 codes, of 8 queries each
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kGroup = 16;                                  // codes to a multiply
constexpr bool kDirect = kWords <= 4;                       // distances without norms
constexpr int kSteps = (kWords + 7) / 8;                    // multiplies of 256 bits for a code
constexpr bool kPaired = kAlign == 16 && kWords % 16 == 0;  // one load for two steps
// Groups whose loads are under way together: 2 KB a warp, where codes are long enough.
constexpr int kAhead = kAlign < 4 ? 1 : kDirect ? 4 : kSteps <= 2 ? 2 : 1;
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

// A row's sum over the four lanes that share it.
HAMMING_DEVICE u32 sum_of_four(u32 value) {
  value += __shfl_xor_sync(kWarp, value, 1);
  return value + __shfl_xor_sync(kWarp, value, 2);
}

// What this lane knows of its queries.
struct Queries {
  Share shares[kColumns];
  // Added to a product, what must reach half of the code's norm (kDirect: the negated limit, and
  // the sum must be negative).
  i32 terms[kColumns][2];
};

// Sixteen codes: this lane's share of rows g and g + 8, and whether they can be hits.
struct Codes {
  Share shares[2];
  bool there[2];
};

HAMMING_DEVICE Codes load_codes(const Search& search, i64 group) {
  const i64 n_bytes = row_bytes(search);
  Codes codes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const i64 row = group + lane_id() / 4 + 8 * half;
    const i64 inside = min(row, search.end - 1);  // past the end: some code, that is no hit
    codes.there[half] = row < search.end && (search.mask == nullptr || search.mask[inside] != 0);
    codes.shares[half] = load_share(search.codes + inside * n_bytes, n_bytes);
  }
  return codes;
}

// Appends a query's hits among the 16 codes. The eight lanes that have it, one in four, add theirs
// up first: one addition that has to be waited for makes room for all of them.
HAMMING_DEVICE void append_column(const Search& search, int query, const i32 (&distances)[2],
                                  const bool (&hits)[2], i64 group) {
  const int lane = lane_id(), g = lane / 4, t = lane % 4;
  const u32 low = __ballot_sync(kWarp, hits[0]), high = __ballot_sync(kWarp, hits[1]);
  if ((low | high) == 0) return;
  const u32 lanes = 0x11111111u << t;
  const u32 all = __popc(low & lanes) + __popc(high & lanes);
  u64 place = 0;
  if (g == 0 && all != 0) place = atomicAdd(search.counts + query, static_cast<u64>(all));
  place = __shfl_sync(kWarp, place, t);
  const u32 before = lanes & ((1u << lane) - 1);
  const u32 places[2] = {static_cast<u32>(__popc(low & before)),
                         static_cast<u32>(__popc(low & lanes) + __popc(high & before))};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (!hits[half]) continue;
    const u32 distance = static_cast<u32>(distances[half]);
    write_hit(search, query, place + places[half], distance, group + g + 8 * half);
    count_hit(search, query, distance);
  }
}

HAMMING_DEVICE void compare(const Search& search, const Queries& queries, const i32* limits,
                            const i32* norms, int first_query, Codes& codes, i64 group) {
  const int t = lane_id() % 4;
  u32 code_norms[2] = {0, 0};
  if constexpr (!kDirect) {
    // Both sums in one register: norms fit 16 bits up to 65535 bits.
    const u32 both = sum_of_four(norm_of(codes.shares[0]) | norm_of(codes.shares[1]) << 16);
    code_norms[0] = both & 0xffff;
    code_norms[1] = both >> 16;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) complement(codes.shares[half], t >= 2);

  i32 products[kColumns][4];
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) products[j][i] = 0;
  }
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const u32 a[4] = {codes.shares[0].words[step][0], codes.shares[1].words[step][0],
                      codes.shares[0].words[step][1], codes.shares[1].words[step][1]};
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      mma_and_popc(products[j], a, queries.shares[j].words[step][0],
                   queries.shares[j].words[step][1]);
    }
  }

  bool near = false;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    i32 best = kDirect ? 0 : kNever;
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const i32 sum = products[j][2 * half + i] + queries.terms[j][i];
        best = kDirect ? min(best, sum) : max(best, sum);
      }
    }
    const i32 least = static_cast<i32>(code_norms[half] / 2);
    near |= codes.there[half] && (kDirect ? best < 0 : best >= least);
  }
  if (!__any_sync(kWarp, near)) return;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = 8 * j + 2 * t + i;
      i32 distances[2];
      bool hits[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const i32 product = products[j][2 * half + i];
        const i32 norm = static_cast<i32>(code_norms[half]) + norms[column];
        distances[half] = kDirect ? product : norm - 2 * product;
        hits[half] = codes.there[half] && distances[half] < limits[column];
      }
      append_column(search, first_query + column, distances, hits, group);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) scan_mma(const Search search) {
  __shared__ i32 limits[kQueries];
  __shared__ i32 norms[kQueries];
  const int first_query = static_cast<int>(blockIdx.x) * kQueries;
  const int lane = lane_id(), g = lane / 4, t = lane % 4;

  Queries queries;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    // Past the last query: some query's words, and a limit that nothing is below.
    const int query = min(first_query + 8 * j + g, search.n_queries - 1);
    Share share = query_share(search.queries + static_cast<i64>(query) * search.n_words);
    const u32 norm = sum_of_four(kDirect ? (t < 2 ? norm_of(share) : 0) : norm_of(share));
    if (threadIdx.x < 32 && t == 0) {
      const bool there = first_query + 8 * j + g < search.n_queries;
      norms[8 * j + g] = static_cast<i32>(norm);
      limits[8 * j + g] = there ? static_cast<i32>(search.limits[query]) : 0;
    }
    complement(share, t < 2);
    queries.shares[j] = share;
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = 8 * j + 2 * t + i;
      // d < limit where 2 popc >= |x| + (|y| - limit + 1). Rounded so that nothing is missed: of
      // the halves, |x|'s down and the other up.
      const i32 rest = norms[column] - limits[column] + 1;
      queries.terms[j][i] = kDirect               ? -limits[column]
                            : limits[column] == 0 ? kNever
                                                  : -((rest + 1) >> 1);
    }
  }

  const i64 stride = static_cast<i64>(gridDim.y) * kTile;
  const i64 first = search.begin + static_cast<i64>(blockIdx.y) * kTile +
                    static_cast<int>(threadIdx.x) / 32 * (kGroup * kAhead);
  for (i64 groups = first; groups < search.end; groups += stride) {
    Codes codes[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) codes[i] = load_codes(search, groups + i * kGroup);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      compare(search, queries, limits, norms, first_query, codes[i], groups + i * kGroup);
    }
  }
}
