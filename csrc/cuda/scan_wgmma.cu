// Hits by Hopper's asynchronous 1-bit matrix multiplies (sm_90a), for large batches. Two warpgroups
// hold 64 queries each in registers and multiply them with tiles of 128 codes that a third one
// brings to shared memory: d(x, y) = |x| + |y| - 2 popc(x & y). Nothing but two barriers a tile
// binds the three, so that one warpgroup compares while the other multiplies.
//
// Tiles lie in the swizzled layout whose rows are a code's bytes in order, with the 16-byte chunks
// exchanged by an exclusive or with bits of the row's number: neither the copies into it nor the
// multiplies meet bank conflicts. HAMMING_WORDS: 1 to 32.
#define HAMMING_WGMMA
constexpr int kBuffered = 512;
#include "hits.cuh"

constexpr int kSteps = (kWords + 7) / 8;                           // multiplies of 256 bits
constexpr int kPitch = kSteps == 1 ? 32 : kSteps == 2 ? 64 : 128;  // bytes of a code in a tile
constexpr int kTile = 128;
// Of the tiles, kAhead are on their way and the others have come: the slack between those who bring
// and those who compare.
constexpr int kStages = HAMMING_STAGES;
constexpr int kAhead = kStages - 3;
constexpr int kQueriesOfGroup = 64;
constexpr int kQueriesOfBlock = 2 * kQueriesOfGroup;
constexpr int kGroupThreads = 128;
constexpr int kThreads = 3 * kGroupThreads;
constexpr i32 kNever = -(1 << 28);
constexpr u64 kSwizzle = kPitch == 32 ? 3 : kPitch == 64 ? 2 : 1;  // the descriptor's code

static_assert(kWords >= 1 && kWords <= 32, "at most 1024 bits");

constexpr int kStageBytes = kTile * kPitch;
// Swizzles exchange bits of the address, so tiles begin at multiples of their whole pattern.
constexpr u32 kTileAlignment = 8 * kPitch;

struct Shared {
  u8* tiles;     // kStages x kStageBytes
  i32* norms;    // kStages x kTile: bits set in each code
  i32* terms;    // kStages x kTile: minus half of that; kNever where there is no code to find
  u64* filled;   // kStages: the tile has come
  u64* emptied;  // kStages: both warpgroups have done with it
  u64* hits;     // kBuffered for each warp that compares
};

HAMMING_DEVICE Shared shared_memory() {
  u8* base = dynamic_shared();
  const u32 past = shared_address(base) % kTileAlignment;
  u8* tiles = base + (past == 0 ? 0 : kTileAlignment - past);
  i32* norms = reinterpret_cast<i32*>(tiles + kStages * kStageBytes);
  i32* terms = norms + kStages * kTile;
  u64* barriers = reinterpret_cast<u64*>(terms + kStages * kTile);
  return {tiles, norms, terms, barriers, barriers + kStages, barriers + 2 * kStages};
}

// Where byte `byte` of a code lies in a tile, from the tile's first.
HAMMING_DEVICE int tile_offset(int code, int byte) {
  constexpr int kChunks = kPitch / 16;
  const int turned = code / (8 / kChunks) % kChunks;
  return code * kPitch + 16 * (byte / 16 ^ turned) + byte % 16;
}

// Zeros what no copy reaches: bits past the end of a code.
HAMMING_DEVICE void clear_padding(const Shared& shared, i64 n_bytes) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  for (int code = thread; code < kStages * kTile; code += kGroupThreads) {
    u8* tile = shared.tiles + code / kTile * kStageBytes;
    for (int byte = static_cast<int>(n_bytes); byte < kPitch; ++byte) {
      tile[tile_offset(code % kTile, byte)] = 0;
    }
  }
  fence_async_proxy();
}

// Starts the copies of a tile's rows, of which `count` exist.
HAMMING_DEVICE void start_copies(const Search& search, u8* tile, i64 first, int count) {
  constexpr int kBytes = kAlign >= 4 ? kAlign : 4;
  constexpr int kItems = 4 * kWords / kBytes;  // of a row
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  for (int item = thread; item < count * kItems; item += kGroupThreads) {
    const int code = item / kItems, byte = item % kItems * kBytes;
    const u8* from = search.codes + (first + code) * search.n_bytes + byte;
    u8* to = tile + tile_offset(code, byte);
    if constexpr (kAlign >= 4) {
      copy_async<kBytes>(to, from);
    } else {
      *reinterpret_cast<u32*>(to) = bytes_to_word(from, search.n_bytes - byte);
    }
  }
  copy_async_commit();
}

// One arrival for a warp, after all its lanes have come.
HAMMING_DEVICE void warp_arrive(u64* barrier) {
  __syncwarp();
  if (lane_id() == 0) mbarrier_arrive(barrier);
}

// Once the oldest copies have come: the norms of that tile's codes, of which thread i does the
// i-th.
HAMMING_DEVICE void complete_tile(const Search& search, const Shared& shared, int stage,
                                  i64 first) {
  const int code = static_cast<int>(threadIdx.x) % kGroupThreads;
  const i64 row = first + code;
  const bool there = row < search.end && (search.mask == nullptr || search.mask[row] != 0);
  copy_async_wait<kAhead - 1>();
  fence_async_proxy();
  named_barrier(1, kGroupThreads);
  const u8* tile = shared.tiles + stage * kStageBytes;
  i32 norm = 0;
#pragma unroll
  for (int byte = 0; byte < 32 * kSteps; byte += 16) {
    const uint4 chunk = *reinterpret_cast<const uint4*>(tile + tile_offset(code, byte));
    norm += __popc(chunk.x) + __popc(chunk.y) + __popc(chunk.z) + __popc(chunk.w);
  }
  shared.norms[stage * kTile + code] = norm;
  shared.terms[stage * kTile + code] = there ? -(norm / 2) : kNever;
  warp_arrive(shared.filled + stage);
}

// The third warpgroup: tile after tile. One is completed before a stage is waited for, so that
// those who compare have something to compare meanwhile.
HAMMING_DEVICE void bring_tiles(const Search& search, const Shared& shared, i64 n_tiles) {
  clear_padding(shared, search.n_bytes);
  const i64 stripes = gridDim.y;
  for (i64 mine = 0;; ++mine) {  // tiles of this block
    const i64 tile = blockIdx.y + mine * stripes, done = tile - kAhead * stripes;
    if (done >= n_tiles) return;
    if (mine >= kAhead) {
      complete_tile(search, shared, static_cast<int>((mine - kAhead) % kStages),
                    search.begin + done * kTile);
    }
    if (tile < n_tiles) {
      const int stage = static_cast<int>(mine % kStages);
      if (mine >= kStages) {
        mbarrier_wait(shared.emptied + stage, static_cast<u32>(mine / kStages - 1) & 1);
      }
      const i64 first = search.begin + tile * kTile;
      const i64 left = search.end - first;
      start_copies(search, shared.tiles + stage * kStageBytes, first,
                   static_cast<int>(left < kTile ? left : kTile));
    } else {
      copy_async_commit();  // groups are counted
    }
  }
}

// No-swizzle offsets are ignored with a swizzle; eight codes are one pattern.
HAMMING_DEVICE u64 descriptor(const u8* tile) {
  return static_cast<u64>((shared_address(tile) & 0x3ffff) >> 4) | u64{1} << 16 |
         static_cast<u64>(8 * kPitch / 16) << 32 | kSwizzle << 62;
}

// What a thread knows of its two queries, rows g and g + 8 of its warp's 16.
struct Queries {
  u32 words[kSteps][4];
  i32 norms[2];
  i32 limits[2];
  i32 least[2];  // a product plus the code's term that may be a hit
};

HAMMING_DEVICE Queries load_queries(const Search& search, int first) {
  const int g = lane_id() / 4, t = lane_id() % 4;
  Queries queries;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = first + g + 8 * half;
    const bool there = query < search.n_queries;
    const u32* row = search.queries + static_cast<i64>(there ? query : 0) * search.n_words;
    u32 bits = 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int word = 8 * step + t + 4 * i;
        const u32 value = there && word < kWords ? row[word] : 0;
        queries.words[step][half + 2 * i] = value;
        bits += __popc(value);
      }
    }
    bits += __shfl_xor_sync(kWarp, bits, 1);
    bits += __shfl_xor_sync(kWarp, bits, 2);
    queries.norms[half] = static_cast<i32>(bits);
    queries.limits[half] = there ? static_cast<i32>(search.limits[query]) : 0;
    // d < limit where 2 popc >= |y| + (|x| - limit + 1): of the halves, |y|'s down and the other
    // up.
    const i32 rest = queries.norms[half] - queries.limits[half] + 1;
    queries.least[half] = queries.limits[half] == 0 ? -kNever : (rest + 1) >> 1;
  }
  return queries;
}

// The best sums of products and terms among a lane's pairs: by query, and by parts of the tile.
constexpr int kParts = 4;
struct Best {
  i32 sums[2][kParts];

  HAMMING_DEVICE bool reaches(const Queries& queries, int part) const {
    return sums[0][part] >= queries.least[0] || sums[1][part] >= queries.least[1];
  }
};

// Takes the hits of a warp's tile. Register i of the accumulators is of query g + 8 (i / 2 % 2) and
// of code 8 (i / 4) + 2 t + i % 2; `first_row` counts from the segment's first. Only the part of
// the tile that has a hit is looked at, which makes the few that have one bearable.
HAMMING_DEVICE void offer(const Search& search, const Queries& queries, HitBuffer& buffer,
                          const Best& best, const i32 (&products)[64], const i32* norms,
                          const i32* terms, int first_query, i64 first_row) {
  constexpr int kPairs = 64 / kParts;
  const int g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    if (!__any_sync(kWarp, best.reaches(queries, part))) continue;
    const auto code_of = [&](int i) { return 8 * (i / 4 + kPairs / 4 * part) + 2 * t + i % 2; };
    const auto distance_of = [&](int i) {
      const int half = i / 2 % 2;
      return queries.norms[half] + norms[code_of(i)] - 2 * products[kPairs * part + i];
    };
    u32 hits = 0;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const bool there = terms[code_of(i)] != kNever;
      if (there && distance_of(i) < queries.limits[i / 2 % 2]) hits |= 1u << i;
    }
    u64* place = room_for(search, buffer, first_query, static_cast<u32>(__popc(hits)));
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      if ((hits >> i & 1) == 0) continue;
      const u32 distance = static_cast<u32>(distance_of(i));
      *place++ = buffered_hit(g + 8 * (i / 2 % 2), distance, first_row + code_of(i));
    }
  }
}

HAMMING_DEVICE void compare_tiles(const Search& search, const Shared& shared, i64 n_tiles) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  const int warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
  const int t = lane_id() % 4;
  const int first_query =
      static_cast<int>(blockIdx.x) * kQueriesOfBlock + group * kQueriesOfGroup + 16 * warp;
  const Queries queries = load_queries(search, first_query);
  HitBuffer buffer{shared.hits + (4 * group + warp) * kBuffered, 0};
  i64 mine = 0;
  for (i64 tile = blockIdx.y; tile < n_tiles; tile += gridDim.y, ++mine) {
    const int stage = static_cast<int>(mine % kStages);
    mbarrier_wait(shared.filled + stage, static_cast<u32>(mine / kStages) & 1);
    const u64 codes = descriptor(shared.tiles + stage * kStageBytes);
    i32 products[64];
    hold(products);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      wgmma_and_popc(products, queries.words[step], codes + 2 * step, step > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    hold(products);  // `asm volatile` does not order what reads them

    const i32* terms = shared.terms + stage * kTile;
    Best best;
#pragma unroll
    for (int i = 0; i < 2 * kParts; ++i) best.sums[i % 2][i / 2] = kNever;
#pragma unroll
    for (int i = 0; i < 64; ++i) {  // one instruction a pair, which adds and compares
      const int2 pair = *reinterpret_cast<const int2*>(terms + 8 * (i / 4) + 2 * t);
      i32& own = best.sums[i / 2 % 2][i / (64 / kParts)];
      own = max(own, products[i] + (i % 2 == 0 ? pair.x : pair.y));
    }
    bool near = false;
#pragma unroll
    for (int part = 0; part < kParts; ++part) near |= best.reaches(queries, part);
    if (__any_sync(kWarp, near)) {
      offer(search, queries, buffer, best, products, shared.norms + stage * kTile, terms,
            first_query, tile * kTile);
    }
    warp_arrive(shared.emptied + stage);
  }
  hand_over(search, buffer, first_query);
}

// blockIdx.x: 128 queries; blockIdx.y: every gridDim.y-th tile. Blocks that are neighbours in x
// read the same codes at about the same time.
extern "C" __global__ void __launch_bounds__(kThreads, 1) scan_wgmma(const Search search) {
  const Shared shared = shared_memory();
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      mbarrier_init(shared.filled + stage, kGroupThreads / 32);
      mbarrier_init(shared.emptied + stage, 2 * kGroupThreads / 32);
    }
  }
  __syncthreads();
  const i64 n_tiles = (search.end - search.begin + kTile - 1) / kTile;
  // Of 64k registers, those who compare need most.
  if (threadIdx.x < 2 * kGroupThreads) {
    take_registers<224>();
    compare_tiles(search, shared, n_tiles);
  } else {
    give_registers<56>();
    bring_tiles(search, shared, n_tiles);
  }
}
