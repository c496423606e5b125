// A shape of bounded rank, stored inline: copying one never allocates.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace maas {

inline constexpr int kMaxRank = 16;
inline constexpr int64_t kMaxElements = int64_t{1} << 40;

class Dims {
 public:
  Dims() = default;
  // REQUIRES: size() <= kMaxRank.
  Dims(std::initializer_list<int64_t> dims) : Dims(std::span(dims.begin(), dims.size())) {}
  explicit Dims(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    std::copy(dims.begin(), dims.end(), d_.begin());
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return d_[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return d_[static_cast<size_t>(i)]; }
  // REQUIRES: rank() < kMaxRank.
  void push_back(int64_t d) { d_[static_cast<size_t>(rank_++)] = d; }
  void clear() { rank_ = 0; }
  const int64_t* begin() const { return d_.data(); }
  const int64_t* end() const { return d_.data() + rank_; }
  std::span<const int64_t> span() const { return {d_.data(), static_cast<size_t>(rank_)}; }

  friend bool operator==(const Dims& a, const Dims& b) {
    return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin());
  }

 private:
  std::array<int64_t, kMaxRank> d_{};
  int rank_ = 0;
};

// A shape, or an offset, of `rank` zeros. REQUIRES: 0 <= rank <= kMaxRank.
Dims Zeros(int rank);

// The product of the dimensions; -1 if one is negative or the product exceeds kMaxElements.
int64_t ElementCount(std::span<const int64_t> dims);
inline int64_t ElementCount(const Dims& dims) { return ElementCount(dims.span()); }

// `sizes`, which fit the pattern `from`, seen as of the pattern `to`: what varies in one (-1) varies in the
// other, in the same order. REQUIRES: as many dimensions vary in both; sizes.rank() == from.size();
// to.size() <= kMaxRank.
Dims Reshaped(std::span<const int64_t> from, const Dims& sizes, std::span<const int64_t> to);

// "[2,3,-1]", for messages.
std::string ToString(std::span<const int64_t> dims);
inline std::string ToString(const Dims& dims) { return ToString(dims.span()); }

}  // namespace maas
