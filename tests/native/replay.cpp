// Checks problems without a fuzzer: the files and folders named, and `--random COUNT SEED`.
// Returns 1 when an answer was wrong; a sanitizer ends the program itself.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "problem.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

int failures = 0;
int checked = 0;

void replay(const std::string& name, const Bytes& bytes) {
  const Problem problem(bytes.data(), bytes.size());
  const std::string wrong = check(problem);
  ++checked;
  if (wrong.empty()) return;
  ++failures;
  std::printf("%s: %s\n  %s\n", name.c_str(), wrong.c_str(), problem.describe().c_str());
}

void replay_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  replay(path.string(), Bytes(std::istreambuf_iterator<char>(file), {}));
}

void replay_random(int count, unsigned seed) {
  std::mt19937 random(seed);
  for (int i = 0; i < count; ++i) {
    Bytes bytes(40 + random() % 80);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    replay("random " + std::to_string(seed) + " " + std::to_string(i), bytes);
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--random" && i + 2 < argc) {
      replay_random(std::atoi(argv[i + 1]), static_cast<unsigned>(std::atoi(argv[i + 2])));
      i += 2;
    } else if (std::filesystem::is_directory(word)) {
      std::vector<std::filesystem::path> paths;
      for (const auto& entry : std::filesystem::directory_iterator(word)) paths.push_back(entry);
      std::sort(paths.begin(), paths.end());
      for (const auto& path : paths) replay_file(path);
    } else {
      replay_file(word);
    }
  }
  std::printf("%d problems, %d wrong\n", checked, failures);
  return failures == 0 && checked > 0 ? 0 : 1;
}
