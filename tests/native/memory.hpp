// Memory whose end is the end of what may be read: rows are read in place by vectors, some of them
// under masks that sanitizers do not see through.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

// A copy of bytes that ends `slack` bytes (0..63) ahead of a page that may not be touched. It
// begins at any address; the page ahead of the copy's first may not be touched either.
class GuardedBytes {
 public:
  GuardedBytes(const std::vector<std::uint8_t>& bytes, std::size_t slack) : size_(bytes.size()) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t pages = (size_ + slack + page - 1) / page;
    mapped_ = (pages + 2) * page;
    base_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    char* const begin = static_cast<char*>(base_) + page;
    if (pages > 0 && mprotect(begin, pages * page, PROT_READ | PROT_WRITE) != 0) {
      throw std::bad_alloc();
    }
    data_ = reinterpret_cast<std::uint8_t*>(begin + pages * page - slack - size_);
    if (size_ > 0) std::memcpy(data_, bytes.data(), size_);
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, mapped_); }

  const std::uint8_t* data() const { return data_; }

 private:
  std::size_t size_;
  std::size_t mapped_ = 0;
  void* base_ = nullptr;
  std::uint8_t* data_ = nullptr;
};
