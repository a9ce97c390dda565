/* What a core can do at best, compiled on the machine that is measured (see ceilings.py).
 *
 * scan: xor, popcount, min and one compare for every eight vectors, over codes that lie in L1 in the
 * order that suits the instructions: a vector holds one word of several codes, and the next vector
 * the same codes' next word. It ranks nothing and finds nothing, so no exact search is meant to be
 * faster with the same instructions; one that reuses a loaded vector for several queries could be.
 * read_all: a plain sum over memory.
 */
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
enum { UNROLL = 8 };

/* Per instruction set: `add` adds the popcount of x to the counts (of bytes, or of whole lanes),
 * `total` turns counts into one number a lane of 32 or 64 bits. `wide` is a constant: 1 for 64. */
#if defined(__AVX512VPOPCNTDQ__) && !defined(PLAIN)
#include <immintrin.h>
typedef __m512i Vector;
static const char *const NAME = "AVX-512 VPOPCNTDQ";
INLINE Vector fill(uint64_t x) { return _mm512_set1_epi64((long long)x); }
INLINE Vector exclusive_or(const void *p, Vector q) { return _mm512_xor_si512(_mm512_load_si512(p), q); }
INLINE Vector add(Vector counts, Vector x, int wide) {
  return wide ? _mm512_add_epi64(counts, _mm512_popcnt_epi64(x))
              : _mm512_add_epi32(counts, _mm512_popcnt_epi32(x));
}
INLINE Vector total(Vector counts, int wide) { return (void)wide, counts; }
INLINE Vector least(Vector a, Vector b) { return _mm512_min_epu32(a, b); }
INLINE int any_below(Vector a, Vector limit, int wide) {
  return (wide ? _mm512_cmplt_epu64_mask(a, limit) : _mm512_cmplt_epu32_mask(a, limit)) != 0;
}
#elif defined(__AVX2__) && !defined(PLAIN)
#include <immintrin.h>
typedef __m256i Vector;
static const char *const NAME = "AVX2 nibble table";
INLINE Vector fill(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
INLINE Vector exclusive_or(const void *p, Vector q) {
  return _mm256_xor_si256(_mm256_load_si256((const __m256i *)p), q);
}
INLINE Vector add(Vector counts, Vector x, int wide) {
  const Vector table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1,
                                        2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const Vector low = _mm256_set1_epi8(15);
  Vector a = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
  Vector b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
  return (void)wide, _mm256_add_epi8(counts, _mm256_add_epi8(a, b));
}
INLINE Vector total(Vector counts, int wide) {
  if (wide) return _mm256_sad_epu8(counts, _mm256_setzero_si256());
  return _mm256_madd_epi16(_mm256_maddubs_epi16(counts, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}
INLINE Vector least(Vector a, Vector b) { return _mm256_min_epu32(a, b); }
INLINE int any_below(Vector a, Vector limit, int wide) {
  Vector below = wide ? _mm256_cmpgt_epi64(limit, a) : _mm256_cmpgt_epi32(limit, a);
  return !_mm256_testz_si256(below, below);
}
#elif defined(__ARM_NEON) && !defined(PLAIN)
#include <arm_neon.h>
typedef uint64x2_t Vector;
static const char *const NAME = "NEON cnt";
INLINE Vector fill(uint64_t x) { return vdupq_n_u64(x); }
INLINE Vector exclusive_or(const void *p, Vector q) { return veorq_u64(vld1q_u64(p), q); }
INLINE Vector add(Vector counts, Vector x, int wide) {
  uint8x16_t ones = vcntq_u8(vreinterpretq_u8_u64(x));
  return (void)wide, vreinterpretq_u64_u8(vaddq_u8(vreinterpretq_u8_u64(counts), ones));
}
INLINE Vector total(Vector counts, int wide) {
  uint32x4_t sums = vpaddlq_u16(vpaddlq_u8(vreinterpretq_u8_u64(counts)));
  return wide ? vpaddlq_u32(sums) : vreinterpretq_u64_u32(sums);
}
INLINE Vector least(Vector a, Vector b) {
  return vreinterpretq_u64_u32(vminq_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b)));
}
INLINE int any_below(Vector a, Vector limit, int wide) {
  uint32x4_t narrow = vcltq_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(limit));
  uint32x4_t below = wide ? vreinterpretq_u32_u64(vcltq_u64(a, limit)) : narrow;
  return vmaxvq_u32(below) != 0;
}
#else
typedef uint64_t Vector;
static const char *const NAME = "plain popcount";
INLINE Vector fill(uint64_t x) { return x; }
INLINE Vector exclusive_or(const void *p, Vector q) { return *(const uint64_t *)p ^ q; }
/* Two 32-bit codes stay in the two halves of a word. */
INLINE Vector add(Vector counts, Vector x, int wide) {
  if (wide) return counts + (uint64_t)__builtin_popcountll(x);
  uint64_t high = (uint64_t)__builtin_popcount((uint32_t)(x >> 32));
  return counts + (high << 32 | (uint64_t)__builtin_popcount((uint32_t)x));
}
INLINE Vector total(Vector counts, int wide) { return (void)wide, counts; }
INLINE uint32_t less(uint32_t a, uint32_t b) { return a < b ? a : b; }
INLINE Vector least(Vector a, Vector b) {
  return (uint64_t)less((uint32_t)(a >> 32), (uint32_t)(b >> 32)) << 32 | less((uint32_t)a, (uint32_t)b);
}
INLINE int any_below(Vector a, Vector limit, int wide) {
  if (wide) return a < limit;
  return (uint32_t)(a >> 32) < (uint32_t)limit || (uint32_t)a < (uint32_t)limit;
}
#endif

const char *instructions(void) { return NAME; }
int64_t vector_bytes(void) { return (int64_t)sizeof(Vector); }

INLINE int64_t sweep(const char *tile, int64_t n_steps, const uint64_t *query, uint64_t limit,
                     int words, int wide) {
  Vector q[16];
  for (int w = 0; w < words; ++w) q[w] = fill(query[w]);
  const Vector threshold = fill(wide ? limit : limit << 32 | limit);
  int64_t hits = 0;
  for (int64_t step = 0; step < n_steps; ++step) {
    Vector near = fill(wide ? UINT32_MAX : 0x7fffffff7fffffff);
#pragma GCC unroll 8
    for (int v = 0; v < UNROLL; ++v) {
      Vector counts = fill(0);
      for (int w = 0; w < words; ++w, tile += sizeof(Vector))
        counts = add(counts, exclusive_or(tile, q[w]), wide);
      near = least(near, total(counts, wide));
    }
    hits += any_below(near, threshold, wide);
  }
  return hits;
}

/* Sweeps `n_steps` steps of 8 vectors times the words of a code for each query; n_bits is 32 or 64
 * times 1 to 16. Returns how many steps held a code nearer than `limit`, or -1 for other widths. */
int64_t scan(const char *tile, int64_t n_steps, int n_bits, const uint64_t *queries, int64_t n_queries,
             uint64_t limit) {
  int64_t hits = 0;
  const int words = n_bits == 32 ? 1 : n_bits / 64;
  for (int64_t i = 0; i < n_queries; ++i, queries += words) {
#define CASE(W) case 64 * W: hits += sweep(tile, n_steps, queries, limit, W, 1); break;
    switch (n_bits) {
      case 32: hits += sweep(tile, n_steps, queries, limit, 1, 0); break;
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
      CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14) CASE(15) CASE(16)
      default: return -1;
    }
  }
  return hits;
}

uint64_t read_all(const uint64_t *words, int64_t n_words, int64_t times) {
  uint64_t sum = 0;
  for (int64_t pass = 0; pass < times; ++pass) {
    for (int64_t i = 0; i < n_words; ++i) sum ^= words[i];
    __asm__ volatile("" ::: "memory"); /* each pass reads again */
  }
  return sum;
}
