// Asymmetric scores: the inner product of a float query with the +-1 codes of its candidates. A
// warp takes a candidate, a lane every 32nd component; a candidate's sum is formed in the same
// order wherever it stands, so equal codes have equal scores. Sorting is sort.cu's.
#include "ptx.cuh"

constexpr int kThreads = 256;
constexpr int kPlaceBits = 24;
constexpr float kMostFloat = 3.402823466e38f;

// queries: (n_queries, n_bits); candidates: (n_queries, n_candidates) rows, -1 and rows past the
// last = none; scores alike; keys: row << 24 | place, all ones for none.
extern "C" __global__ void __launch_bounds__(kThreads)
    score(const float* const queries, const u8* const codes, const i64* const candidates,
          float* const scores, u64* const keys, const i64 n_bits, const i64 n_bytes,
          const i64 n_candidates, const i64 n_codes, const i64 n_scores,
          const i32 big_endian_bits) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const int byte_of_lane = lane / 8;
  const int bit_of_lane = big_endian_bits != 0 ? 7 - lane % 8 : lane % 8;
  const i64 stride = static_cast<i64>(gridDim.x) * (kThreads / 32);
  for (i64 at = static_cast<i64>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32; at < n_scores;
       at += stride) {
    const i64 query = at / n_candidates, place = at % n_candidates;
    const float* values = queries + query * n_bits;
    const i64 row = candidates[at];
    const bool there = row >= 0 && row < n_codes;
    float sum = 0;
    if (there) {
      const u8* code = codes + row * n_bytes;
      for (i64 bit = lane; bit < n_bits; bit += 32) {
        const u32 set = code[bit / 32 * 4 + byte_of_lane] >> bit_of_lane & 1u;
        sum += set != 0 ? values[bit] : -values[bit];
      }
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    if (lane != 0) continue;
    scores[at] = fminf(fmaxf(sum, -kMostFloat), kMostFloat);
    keys[at] = there ? static_cast<u64>(row) << kPlaceBits | static_cast<u64>(place) : ~u64{0};
  }
}
