#include "maas/exec/classify.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>

#include "maas/base/half.h"

namespace maas {
namespace {

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

void AppendElement(const std::string& text, std::string* out) {
  const auto size = static_cast<uint32_t>(text.size());
  char prefix[sizeof(size)];
  std::memcpy(prefix, &size, sizeof(size));
  out->append(prefix, sizeof(prefix)).append(text);
}

// `T`: what elements are compared and printed as; `load` reads one.
template <typename T, typename LoadElement>
int64_t ClassifyAs(size_t size, int64_t count, std::span<const std::string> labels, std::string* out,
                   const LoadElement& load) {
  std::vector<T> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = load(i);
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto kept = std::min(order.size(), static_cast<size_t>(count));
  const auto before = [&](size_t a, size_t b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(values[a]) != std::isnan(values[b])) return std::isnan(values[b]);
      if (std::isnan(values[a])) return a < b;
    }
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), before);
  for (size_t i = 0; i < kept; ++i) {
    std::string text = std::to_string(values[order[i]]) + ':' + std::to_string(order[i]);
    if (order[i] < labels.size() && !labels[order[i]].empty()) text += ':' + labels[order[i]];
    AppendElement(text, out);
  }
  return static_cast<int64_t>(kept);
}

template <typename T>
int64_t ClassifyPlain(std::span<const std::byte> row, int64_t count, std::span<const std::string> labels,
                      std::string* out) {
  // Narrow integers print as numbers.
  using Wide = std::conditional_t<std::is_floating_point_v<T> || sizeof(T) == 8, T, int64_t>;
  const auto load = [&](size_t i) { return static_cast<Wide>(Load<T>(row.data() + i * sizeof(T))); };
  return ClassifyAs<Wide>(row.size() / sizeof(T), count, labels, out, load);
}

}  // namespace

int64_t Classify(DataType type, std::span<const std::byte> row, int64_t count,
                 std::span<const std::string> labels, std::string* out) {
  switch (type) {
    case DataType::kBool:
    case DataType::kUint8:
      return ClassifyPlain<uint8_t>(row, count, labels, out);
    case DataType::kUint16:
      return ClassifyPlain<uint16_t>(row, count, labels, out);
    case DataType::kUint32:
      return ClassifyPlain<uint32_t>(row, count, labels, out);
    case DataType::kUint64:
      return ClassifyPlain<uint64_t>(row, count, labels, out);
    case DataType::kInt8:
      return ClassifyPlain<int8_t>(row, count, labels, out);
    case DataType::kInt16:
      return ClassifyPlain<int16_t>(row, count, labels, out);
    case DataType::kInt32:
      return ClassifyPlain<int32_t>(row, count, labels, out);
    case DataType::kInt64:
      return ClassifyPlain<int64_t>(row, count, labels, out);
    case DataType::kFp32:
      return ClassifyPlain<float>(row, count, labels, out);
    case DataType::kFp64:
      return ClassifyPlain<double>(row, count, labels, out);
    case DataType::kFp16:
    case DataType::kBf16: {
      const auto load = [&](size_t i) {
        const auto bits = Load<uint16_t>(row.data() + i * sizeof(uint16_t));
        return type == DataType::kFp16 ? Fp16ToFloat(bits) : Bf16ToFloat(bits);
      };
      return ClassifyAs<float>(row.size() / sizeof(uint16_t), count, labels, out, load);
    }
    default:
      return 0;
  }
}

}  // namespace maas
