// Finds the golden messages that tests/golden/make_golden.py writes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace maas {

struct GoldenCase {
  std::string name;
  std::string message;
  bool valid = false;  // Else refused.
  std::string expect;  // The text form of the message, or the field that the refusal names.
};

inline std::string ReadGoldenFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// MAAS_GOLDEN names the folder; else it is looked for from the root of the repository.
inline std::filesystem::path GoldenFolder(std::string_view kind) {
  const char* root = std::getenv("MAAS_GOLDEN");
  return std::filesystem::path(root == nullptr ? "tests/golden" : root) / kind;
}

// Sorted by name. Empty when the folder is missing, which a test must refuse.
inline std::vector<GoldenCase> GoldenCases(std::string_view kind) {
  std::vector<GoldenCase> cases;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(GoldenFolder(kind), missing)) {
    const std::filesystem::path& folder = entry.path();
    GoldenCase c{folder.filename(), ReadGoldenFile(folder / "message.bin"), exists(folder / "expect.txtpb"),
                 ""};
    c.expect = ReadGoldenFile(folder / (c.valid ? "expect.txtpb" : "error.txt"));
    if (!c.valid && !c.expect.empty()) c.expect.pop_back();  // The line's end.
    cases.push_back(std::move(c));
  }
  std::sort(cases.begin(), cases.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return cases;
}

}  // namespace maas
