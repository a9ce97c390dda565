// Values to packed codes and back. A warp turns 32 values into a word by one vote, so that its
// loads are contiguous. HAMMING_ELEMENT: the element type, by its number below.
#include "ptx.cuh"

constexpr int kThreads = 256;
constexpr int kElement = HAMMING_ELEMENT;

// Halves as the floats they are: the exponent is rebiased, subnormals are scaled.
HAMMING_DEVICE float half_to_float(u16 half) {
  const u32 magnitude = half & 0x7fffu, sign = static_cast<u32>(half & 0x8000u) << 16;
  if (magnitude >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude >= 0x400u) return __uint_as_float(sign | ((magnitude << 13) + 0x38000000u));
  const float tiny = static_cast<float>(magnitude) * __uint_as_float(0x33800000u);  // 2^-24
  return __uint_as_float(sign | __float_as_uint(tiny));
}

struct Half {
  u16 bits;
};
struct BFloat16 {
  u16 bits;
};

template <int kNumber, class First, class... Rest>
struct Nth {
  using type = typename Nth<kNumber - 1, Rest...>::type;
};
template <class First, class... Rest>
struct Nth<0, First, Rest...> {
  using type = First;
};

using Element = Nth<kElement, u8, signed char, u16, short, u32, i32, u64, i64, float, double, Half,
                    BFloat16>::type;

// Values are compared as what they are; halves as floats.
HAMMING_DEVICE float comparable(Half value) { return half_to_float(value.bits); }
HAMMING_DEVICE float comparable(BFloat16 value) {
  return __uint_as_float(static_cast<u32>(value.bits) << 16);
}
template <class Value>
HAMMING_DEVICE Value comparable(Value value) {
  return value;
}

using Compared = decltype(comparable(Element{}));

// Bit i of every byte to bit 7 - i: a vote puts the first value lowest, "big" order wants it
// highest.
HAMMING_DEVICE u32 reverse_bytes_bits(u32 word) { return __byte_perm(__brev(word), 0, 0x0123); }

// values: (n_rows, n_bits); thresholds: (n_bits,); codes: (n_rows, n_bytes). A value above its
// threshold sets its bit; NaN is above nothing. has_nan, where not null, becomes non-zero if there
// is one.
extern "C" __global__ void __launch_bounds__(kThreads)
    pack(const Element* const values, const Compared* const thresholds, u8* const codes,
         const i64 n_rows, const i64 n_bits, const i32 big_endian_bits, i32* const has_nan) {
  const i64 n_bytes = (n_bits + 7) / 8;
  const i64 words = (n_bits + 31) / 32;  // of a row
  const int lane = static_cast<int>(threadIdx.x & 31);
  const i64 warps = static_cast<i64>(gridDim.x) * (kThreads / 32);
  bool nan = false;
  for (i64 item = static_cast<i64>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
       item < n_rows * words; item += warps) {
    const i64 row = item / words, word = item % words, bit = 32 * word + lane;
    bool set = false;
    if (bit < n_bits) {
      const Compared value = comparable(values[row * n_bits + bit]);
      set = value > thresholds[bit];
      nan |= value != value;
    }
    u32 bits = __ballot_sync(0xffffffffu, set);
    if (big_endian_bits != 0) bits = reverse_bytes_bits(bits);
    const i64 byte = 4 * word + lane;
    if (lane < 4 && byte < n_bytes) {
      codes[row * n_bytes + byte] = static_cast<u8>(bits >> (8 * lane));
    }
  }
  if (has_nan != nullptr && nan) atomicOr(has_nan, 1);
}

// bits: (n_rows, n_bits) of zeros and ones.
extern "C" __global__ void __launch_bounds__(kThreads)
    unpack(const u8* const codes, u8* const bits, const i64 n_rows, const i64 n_bytes,
           const i64 n_bits, const i32 big_endian_bits) {
  const i64 stride = static_cast<i64>(gridDim.x) * kThreads;
  for (i64 i = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x; i < n_rows * n_bits;
       i += stride) {
    const i64 row = i / n_bits, bit = i % n_bits;
    const int within = static_cast<int>(bit % 8);
    const u8 byte = codes[row * n_bytes + bit / 8];
    bits[i] = byte >> (big_endian_bits != 0 ? 7 - within : within) & 1;
  }
}
