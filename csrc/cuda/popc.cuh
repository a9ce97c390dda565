// Codes streamed through registers, compared by population counts. A Step is what a thread holds of
// a tile: kSteps x kCodes codes, or its share of one where several lanes split a code, against
// kQueries queries.
//
// HAMMING_QUERIES: queries that share a read of the codes. HAMMING_CARRY_SAVE: count through
// carry-save adders, for architectures whose population count is slow.
#pragma once

#include "codes.cuh"

constexpr int kQueries = HAMMING_QUERIES;
constexpr int kThreads = 256;

// Sixteen bytes a load: codes of 4 or 8 bytes come several at a time; wider ones are split over up
// to eight lanes, so that a warp's load stays contiguous.
constexpr bool kChunked =
    kAlign == 16 && (kWords == 1 || kWords == 2 || (kWords > 0 && kWords % 4 == 0));
constexpr int kCodes = kChunked && kWords < 4 ? 4 / kWords : 1;
constexpr HAMMING_DEVICE int lanes_for(int chunks) {
  return chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : chunks % 2 == 0 ? 2 : 1;
}
constexpr int kLanes = kChunked && kWords >= 4 ? lanes_for(kWords / 4) : 1;
// Words of a code that a lane holds; of a code of unknown width none are, but arrays need a size.
constexpr int kHeld = kWords == 0 ? 1 : kChunked && kWords >= 4 ? kWords / kLanes : kWords;
// At least 64 bytes under way in each thread, but no more distances than registers.
constexpr HAMMING_DEVICE int at_most(int value, int most) { return value < most ? value : most; }
constexpr HAMMING_DEVICE int at_least(int value, int least) {
  return value > least ? value : least;
}
#ifdef HAMMING_STEPS
constexpr int kSteps = HAMMING_STEPS;
#else
constexpr int kSteps =
    kWords == 0 ? 1 : at_least(1, at_most(16 / (kHeld * kCodes), 64 / (kCodes * kQueries)));
#endif
constexpr int kStepCodes = kThreads / kLanes * kCodes;
constexpr int kTile = kSteps * kStepCodes;

HAMMING_DEVICE u32 majority(u32 a, u32 b, u32 c) { return (a & b) | (c & (a | b)); }

// The bits set in kCount words. With carry-save adders pairs of words are added to a running word
// of ones, whose carries are counted the same way (Warren, Hacker's Delight, 5-1).
template <int kCount>
HAMMING_DEVICE u32 count_bits(const u32 (&words)[kCount]) {
#if HAMMING_CARRY_SAVE
  if constexpr (kCount >= 4) {
    u32 ones = 0, carries[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      carries[i] = majority(ones, words[2 * i], words[2 * i + 1]);
      ones ^= words[2 * i] ^ words[2 * i + 1];
    }
    u32 bits = __popc(ones) + 2 * count_bits(carries);
    if constexpr (kCount % 2 == 1) bits += __popc(words[kCount - 1]);
    return bits;
  }
#endif
  u32 bits = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) bits += __popc(words[i]);
  return bits;
}

// This thread's share of kQueries queries from `first` on; those beyond the last are never near.
struct Queries {
  u32 words[kQueries][kHeld];
  u32 limits[kQueries];
  const u32* first;
  i32 n_words;
  i32 count;  // of the kQueries, those that exist

  HAMMING_DEVICE Queries(const Search& search, int first_query) {
    n_words = search.n_words;
    count = min(kQueries, search.n_queries - first_query);
    first = search.queries + static_cast<i64>(first_query) * n_words;
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const bool there = q < count;
      limits[q] = there ? search.limits[first_query + q] : 0;
      if constexpr (kWords != 0) {
#pragma unroll
        for (int w = 0; w < kHeld; ++w) words[q][w] = there ? first[q * kWords + word_of(w)] : 0;
      }
    }
  }

  // Lanes that split a code take its chunks of four words in turn.
  static HAMMING_DEVICE int word_of(int held) {
    if constexpr (kLanes == 1) return held;
    return 4 * (held / 4 * kLanes + lane_id() % kLanes) + held % 4;
  }
};

struct Step {
  const Search& search;
  i64 tile;
  i32 left;  // codes of the tile that exist
  u32 words[kSteps][kCodes][kHeld];

  // Loads the codes of [tile, tile + kTile) that lie below `end`.
  HAMMING_DEVICE Step(const Search& search_, i64 tile_, i64 end)
      : search(search_),
        tile(tile_),
        left(static_cast<i32>(end - tile_ < kTile ? end - tile_ : kTile)) {
    if constexpr (kWords != 0) {
      if (left == kTile) {
#pragma unroll
        for (int s = 0; s < kSteps; ++s) load<true>(s);
      } else {
#pragma unroll
        for (int s = 0; s < kSteps; ++s) load<false>(s);
      }
    }
  }

  // The code's place in the tile: steps, then threads, then codes of a thread, in order of rows.
  static HAMMING_DEVICE int place(int step, int code) {
    return step * kStepCodes + static_cast<int>(threadIdx.x) / kLanes * kCodes + code;
  }
  HAMMING_DEVICE i64 row(int step, int code) const { return tile + place(step, code); }

  // Whether this thread answers for the code: it is there, searchable, and the first lane's.
  HAMMING_DEVICE bool answers(int step, int code) const {
    if (place(step, code) >= left || lane_id() % kLanes != 0) return false;
    return search.mask == nullptr || search.mask[row(step, code)] != 0;
  }

  // Every lane of a code's must call it, and all get the distance.
  HAMMING_DEVICE u32 distance(const Queries& queries, int step, int code, int query) const {
    if constexpr (kWords == 0) {
      if (place(step, code) >= left || query >= queries.count) return 0;
      return any_width(queries, search.codes + row(step, code) * search.n_bytes, query);
    } else {
      u32 different[kHeld];
#pragma unroll
      for (int w = 0; w < kHeld; ++w) different[w] = words[step][code][w] ^ queries.words[query][w];
      u32 bits = count_bits(different);
#pragma unroll
      for (int other = 1; other < kLanes; other *= 2) bits += __shfl_xor_sync(kWarp, bits, other);
      return bits;
    }
  }

 private:
  template <bool kWhole>
  HAMMING_DEVICE void load(int step) {
    if constexpr (kChunked && kWords < 4) {
      if (kWhole || place(step, kCodes - 1) < left) {
        const uint4 chunk = load_chunk(search.codes + row(step, 0) * (4 * kWords));
        const u32 four[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) words[step][i / kWords][i % kWords] = four[i];
        return;
      }
    }
    if constexpr (kChunked && kWords >= 4) {
      const bool there = kWhole || place(step, 0) < left;
      const u8* chunks = search.codes + row(step, 0) * (4 * kWords) + 16 * (lane_id() % kLanes);
#pragma unroll
      for (int i = 0; i < kHeld / 4; ++i) {
        const uint4 chunk = there ? load_chunk(chunks + 16 * kLanes * i) : make_uint4(0, 0, 0, 0);
        words[step][0][4 * i] = chunk.x;
        words[step][0][4 * i + 1] = chunk.y;
        words[step][0][4 * i + 2] = chunk.z;
        words[step][0][4 * i + 3] = chunk.w;
      }
    } else {
#pragma unroll
      for (int c = 0; c < kCodes; ++c) {
        const bool there = kWhole || place(step, c) < left;
        const u8* bytes = search.codes + row(step, c) * row_bytes(search);
#pragma unroll
        for (int w = 0; w < kHeld; ++w) {
          words[step][c][w] = there ? load_word(bytes, search.n_bytes, w) : 0;
        }
      }
    }
  }

  HAMMING_DEVICE u32 any_width(const Queries& queries, const u8* code, int query) const {
    const u32* words_of_query = queries.first + static_cast<i64>(query) * queries.n_words;
    u32 bits = 0;
    for (i64 w = 0; w < queries.n_words; ++w) {
      bits += __popc(load_word(code, search.n_bytes, w) ^ words_of_query[w]);
    }
    return bits;
  }
};

// Calls visit(whether this thread answers, number of the query, distance, row) for every code of a
// step and every query, with all lanes of the warp together.
template <class Visit>
HAMMING_DEVICE void visit_distances(const Step& step, const Queries& queries, Visit&& visit) {
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
#pragma unroll
    for (int c = 0; c < kCodes; ++c) {
      const bool answers = step.answers(s, c);
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        visit(answers, q, step.distance(queries, s, c, q), step.row(s, c));
      }
    }
  }
}
