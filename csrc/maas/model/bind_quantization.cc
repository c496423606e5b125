#include "maas/model/bind_quantization.h"

#include <cmath>
#include <cstddef>
#include <string>

namespace maas {
namespace {

std::string Quoted(std::string_view name) { return '\'' + std::string(name) + '\''; }

Status NormalizeAxis(const FieldPath* at, std::string_view name, int rank, Quantization* q) {
  if (!q->has_axis) return {};
  if (q->axis < -rank || q->axis >= rank) {
    const std::string expected =
        rank == 0 ? "no axis" : std::to_string(-rank) + " to " + std::to_string(rank - 1);
    return InvalidField(at, "axis",
                        "expected " + expected + " for " + Quoted(name) + " of rank " + std::to_string(rank) +
                            ", got " + std::to_string(q->axis));
  }
  if (q->axis < 0) q->axis += rank;
  return {};
}

Status CheckScaleCount(const FieldPath* at, std::string_view name, std::span<const int64_t> dims,
                       const Quantization& q) {
  const size_t count = q.scales.size();
  if (count == 1) return {};
  const int64_t size = q.has_axis ? dims[static_cast<size_t>(q.axis)] : 1;
  if (count > 0 && (size < 0 || static_cast<int64_t>(count) == size)) return {};
  std::string expected = "expected 1 entry";
  if (!q.has_axis) {
    expected += ", as no axis is set,";
  } else if (size > 1) {
    expected += " or " + std::to_string(size) + ", the size of axis " + std::to_string(q.axis) + ",";
  }
  return InvalidField(at, "scales", expected + " for " + Quoted(name) + ", got " + std::to_string(count));
}

Status CheckScales(const FieldPath* at, const Quantization& q) {
  for (size_t i = 0; i < q.scales.size(); ++i) {
    const float scale = q.scales[i];
    if (!std::isfinite(scale) || scale <= 0) {
      return InvalidField(at, "scales",
                          "expected a finite number greater than 0, got " + std::to_string(scale),
                          static_cast<std::ptrdiff_t>(i));
    }
  }
  return {};
}

Status NormalizeZeroPoints(const FieldPath* at, DataType datatype, Quantization* q) {
  if (q->zero_points.empty()) {
    q->zero_points.assign(q->scales.size(), 0);
    return {};
  }
  if (q->zero_points.size() != q->scales.size()) {
    return InvalidField(at, "zero_points",
                        "expected none, or " + std::to_string(q->scales.size()) +
                            " as there are scales, got " + std::to_string(q->zero_points.size()));
  }
  const int32_t low = datatype == DataType::kInt8 ? -128 : 0;
  const int32_t high = datatype == DataType::kInt8 ? 127 : 255;
  for (size_t i = 0; i < q->zero_points.size(); ++i) {
    const int32_t zero_point = q->zero_points[i];
    if (zero_point < low || zero_point > high) {
      return InvalidField(at, "zero_points",
                          "expected " + std::to_string(low) + " to " + std::to_string(high) + " for " +
                              std::string(Name(datatype)) + ", got " + std::to_string(zero_point),
                          static_cast<std::ptrdiff_t>(i));
    }
  }
  return {};
}

}  // namespace

Status NormalizeQuantization(const FieldPath* at, std::string_view name, DataType datatype,
                             std::span<const int64_t> dims, bool scales_optional, Quantization* q) {
  MAAS_RETURN_IF_ERROR(NormalizeAxis(at, name, static_cast<int>(dims.size()), q));
  if (!scales_optional || !q->scales.empty()) {
    MAAS_RETURN_IF_ERROR(CheckScaleCount(at, name, dims, *q));
    MAAS_RETURN_IF_ERROR(CheckScales(at, *q));
  }
  return NormalizeZeroPoints(at, datatype, q);
}

}  // namespace maas
