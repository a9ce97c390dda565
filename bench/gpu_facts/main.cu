// What the design of the search assumes of a Hopper GPU, measured: memory bandwidth, issue rates of
// the instructions it is made of, and whether wgmma on bits does what its documents say. Compiled
// by nvcc for sm_90a (program.py); prints JSON objects, one a line.
#include "bgmma.cuh"
#include "bmma.cuh"
#include "instructions.cuh"
#include "layouts.cuh"
#include "memory.cuh"

// One line: {"NAME": {...}}, filled by `measure`.
template <class Measure>
void section(const char* name, Measure measure) {
  Object line;
  line.next();
  Object object(name);
  measure(object);
}

Device describe() {
  cudaDeviceProp properties;
  int clock_khz = 0;
  check(cudaGetDeviceProperties(&properties, 0), "device");
  check(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, 0), "device");
  section("device", [&](Object& object) {
    object.text("name", properties.name);
    object.number("compute_capability", properties.major + 0.1 * properties.minor);
    object.number("multiprocessors", properties.multiProcessorCount);
    object.number("highest_clock_hz", clock_khz * 1e3);
    object.number("l2_bytes", properties.l2CacheSize);
    object.number("memory_bytes", static_cast<double>(properties.totalGlobalMem));
  });
  Device device{properties.multiProcessorCount, nullptr, nullptr};
  check(cudaMalloc(&device.out, 1 << 20), "memory");
  check(cudaMalloc(&device.span, sizeof(Span)), "memory");
  return device;
}

int main() {
  const Device device = describe();
  section("memory", [&](Object& object) { measure_memory(object, device); });
  section("instructions", [&](Object& object) {
    measure_alu<Popc>(object, device, "POPC");
    measure_alu<Lop3>(object, device, "LOP3");
    measure_alu<Iadd3AndLop3>(object, device, "IADD3 and LOP3");
    measure_alu<Imad>(object, device, "IMAD");
    measure_alu<Vimnmx3>(object, device, "VIMNMX3");
    measure_alu<Viaddmnmx>(object, device, "VIADDMNMX");
  });
  section("bmma_bit_products", [&](Object& object) {
    measure_bmma<128, 8>(object, device);
    measure_bmma<256, 1>(object, device);
    measure_bmma<256, 8>(object, device);
  });
  section("wgmma_products_right_of_4096", check_layouts);
  section("bgmma_bit_products", [&](Object& object) {
    measure_bgmma<64, InRegisters>(object, device);
    measure_bgmma<128, InRegisters>(object, device);
    measure_bgmma<256, InRegisters>(object, device);
    measure_bgmma<64, InShared>(object, device);
    measure_bgmma<128, InShared>(object, device);
    measure_bgmma<256, InShared>(object, device);
  });
  return 0;
}
