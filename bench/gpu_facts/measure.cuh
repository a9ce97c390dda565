// What all measurements share: output as JSON, errors, clocks, and how a rate is taken.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using i32 = int32_t;
using u32 = uint32_t;
using u64 = unsigned long long;

#define DEVICE __device__ __forceinline__

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

// Prints an object's fields with the commas between them. One without a name is a line of its own,
// out at once: what comes later may fail.
class Object {
 public:
  explicit Object(const char* name = nullptr) : is_line_(name == nullptr) {
    if (!is_line_) std::printf("\"%s\": ", name);
    std::printf("{");
  }
  ~Object() {
    std::printf(is_line_ ? "}\n" : "}");
    if (is_line_) std::fflush(stdout);
  }
  void next() {
    if (!first_) std::printf(", ");
    first_ = false;
  }
  void number(const std::string& name, double value) {
    next();
    std::printf("\"%s\": %.6g", name.c_str(), value);
  }
  void text(const char* name, const char* value) {
    next();
    std::printf("\"%s\": \"%s\"", name, value);
  }

 private:
  bool is_line_;
  bool first_ = true;
};

// Of the first block of a kernel: how long it ran, by the multiprocessor's clock and by the time of
// day, whose quotient is the clock's frequency under that very load.
struct Span {
  u64 cycles;
  u64 nanoseconds;
};

DEVICE u64 time_of_day() {
  u64 now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

class Stopwatch {
 public:
  DEVICE explicit Stopwatch(Span* span) : span_(span) {
    nanoseconds_ = time_of_day();
    cycles_ = clock64();
  }
  DEVICE void stop() const {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    span_->cycles = clock64() - cycles_;
    span_->nanoseconds = time_of_day() - nanoseconds_;
  }

 private:
  Span* span_;
  u64 cycles_;
  u64 nanoseconds_;
};

// Keeps a result that nobody reads from being computed away.
DEVICE void keep(u32 value, u32* out) {
  if (value == 0x12345678) out[threadIdx.x] = value;
}

// Memory that every measurement uses.
struct Device {
  int multiprocessors;
  u32* out;
  Span* span;
};

// Milliseconds of a call: the median of seven, after one that warms up.
template <class Call>
double milliseconds(Call call) {
  constexpr int kRepeats = 7;
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  call();
  check(cudaDeviceSynchronize(), "warm-up");
  std::vector<float> times(kRepeats);
  for (float& time : times) {
    check(cudaEventRecord(begin), "event");
    call();
    check(cudaEventRecord(end), "event");
    check(cudaEventSynchronize(end), "kernel");
    check(cudaEventElapsedTime(&time, begin, end), "event");
  }
  check(cudaGetLastError(), "launch");
  std::sort(times.begin(), times.end());
  return times[kRepeats / 2];
}

// A rate a second, and a clock and multiprocessor at the frequency that the load has left.
void rate(Object& object, const Device& device, const std::string& name, double work, double ms) {
  Span span;
  check(cudaMemcpy(&span, device.span, sizeof span, cudaMemcpyDeviceToHost), "span");
  const double per_second = work / (ms * 1e-3);
  const double frequency = span.nanoseconds > 0 ? 1e9 * span.cycles / span.nanoseconds : 0;
  object.next();
  Object one(name.c_str());
  one.number("per_second", per_second);
  one.number("clock_hz", frequency);
  if (frequency > 0) {
    one.number("per_clock_and_multiprocessor", per_second / frequency / device.multiprocessors);
  }
}
