#include "maas/batching/latency_curve.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace maas {
namespace {

// How much of its deviation from the pace a run teaches the base.
constexpr double kWeight = 0.05;
// Deviations count up to this, as a logarithm (about 20 %), so that outliers teach little; each further run
// in a row that deviates to the same side counts so much more, so that what lasts is learned soon.
constexpr double kFar = 0.2;
constexpr int kMostAstray = 15;
// Pace and base are determined but for a common factor: this keeps the pace about 1.
constexpr double kMostPace = 2;

double Cut(int64_t ns) { return static_cast<double>(std::clamp<int64_t>(ns, 1, LatencyCurve::kMostNs)); }

}  // namespace

LatencyCurve::Place LatencyCurve::PlaceOf(int64_t rows) {
  const auto n = static_cast<uint64_t>(std::clamp<int64_t>(rows, 1, int64_t{1} << (kPoints - 1)));
  const auto lower = static_cast<size_t>(std::bit_width(n) - 1);
  const uint64_t point = uint64_t{1} << lower;
  return {lower, static_cast<double>(n - point) / static_cast<double>(point)};
}

bool LatencyCurve::Measured(const Place& place) const {
  return shape_[place.lower].base_ns > 0 && (place.upper == 0 || shape_[place.lower + 1].base_ns > 0);
}

double LatencyCurve::Learned(const Place& place) const {
  const double lower = shape_[place.lower].base_ns;
  return place.upper == 0 ? lower : lower + place.upper * (shape_[place.lower + 1].base_ns - lower);
}

double LatencyCurve::Base(const Place& place) const {
  if (place.lower >= last_) {
    return std::ldexp(shape_[last_].read_ns, static_cast<int>(place.lower - last_)) * (1 + place.upper);
  }
  const double lower = shape_[place.lower].read_ns;
  return lower + place.upper * (shape_[place.lower + 1].read_ns - lower);
}

void LatencyCurve::Define(const Place& place, double ns, int young) {
  Shape& lower = shape_[place.lower];
  const auto set = [this, young](Shape* point, double base_ns) {
    if (point->base_ns == 0) ++points_;
    point->base_ns = base_ns;
    point->young = young;
    point->astray = 0;
  };
  if (place.upper == 0) {
    set(&lower, ns);
  } else {
    Shape& upper = shape_[place.lower + 1];
    // What the points would take in proportion to their rows, and what they would take if rows cost nothing,
    // bound what the other point and the line through both make of them.
    const double less = ns / (1 + place.upper);
    const double more = 2 * less;
    if (lower.base_ns > 0) {
      set(&upper, std::clamp(lower.base_ns + (ns - lower.base_ns) / place.upper, ns, more));
    } else if (upper.base_ns > 0) {
      set(&lower, std::clamp(upper.base_ns - (upper.base_ns - ns) / (1 - place.upper), less, ns));
    } else {
      set(&lower, (ns + less) / 2);
      set(&upper, (ns + more) / 2);
    }
  }
  last_ = std::max(last_, place.upper == 0 ? place.lower : place.lower + 1);
}

void LatencyCurve::LearnYoung(const Place& place, double ns) {
  bool young = false;
  const double factor = std::min(ns / Learned(place), 1.0);
  for (size_t i = place.lower; i <= place.lower + (place.upper == 0 ? 0 : 1); ++i) {
    if (shape_[i].young == 0) continue;
    --shape_[i].young;
    shape_[i].base_ns *= factor;
    young = true;
  }
  if (!young || factor == 1) return;
  // The slower runs before it said nothing about the pace either.
  for (size_t i = 0; i < size_; ++i) {
    Run& run = window_[i];
    if (!run.at_load && run.place.lower == place.lower && run.place.upper == place.upper) run.ns *= factor;
  }
}

void LatencyCurve::Learn(const Run& run) {
  const Place& place = run.place;
  const double off = std::log(run.ns / (Learned(place) * typical_pace_));
  int& astray = shape_[place.upper < 0.5 ? place.lower : place.lower + 1].astray;
  if (off > kFar) {
    astray = std::min(std::max(astray, 0) + 1, kMostAstray);
  } else if (off < -kFar) {
    astray = std::max(std::min(astray, 0) - 1, -kMostAstray);
  } else {
    astray = 0;
  }
  const double far = kFar * std::max(std::abs(astray), 1);
  const double step = kWeight * std::clamp(off, -far, far);
  // Less each size's share of the window: what all runs have in common is the pace. So runs of one size alone
  // change nothing, and what noise teaches does not drift away from sizes that are not run.
  for (size_t i = 0; i <= last_; ++i) {
    Shape& point = shape_[i];
    if (point.share == 0) continue;
    const double own = i == place.lower ? 1 - place.upper : i == place.lower + 1 ? place.upper : 0;
    point.base_ns *= std::exp(step * (own - point.share));
  }
}

void LatencyCurve::Add(const Run& run) {
  window_[next_] = run;
  next_ = (next_ + 1) % kWindow;
  size_ = std::min(size_ + 1, kWindow);
}

void LatencyCurve::ReadShares() {
  for (size_t i = 0; i <= last_; ++i) shape_[i].share = 0;
  if (runs_ == 0) return;
  const double each = 1 / static_cast<double>(runs_);
  for (size_t i = 0; i < size_; ++i) {
    const Run& run = window_[i];
    if (run.at_load) continue;
    shape_[run.place.lower].share += each * (1 - run.place.upper);
    if (run.place.upper > 0) shape_[run.place.lower + 1].share += each * run.place.upper;
  }
}

void LatencyCurve::ReadShape() {
  // A point that has not been run lately takes no longer than larger ones that have: a slow run that stays
  // the only one of its size must not raise all larger sizes.
  double most = std::numeric_limits<double>::infinity();
  for (size_t i = last_ + 1; i-- > 0;) {
    Shape& point = shape_[i];
    if (point.base_ns == 0) continue;
    if (point.share > 0) most = std::min(most, point.base_ns);
    point.read_ns = point.share > 0 ? point.base_ns : std::min(point.base_ns, most);
  }
  // Monotonic, and lines through the gaps.
  constexpr size_t kNone = kPoints;
  size_t before = kNone;
  for (size_t i = 0; i <= last_; ++i) {
    Shape& point = shape_[i];
    if (point.base_ns == 0) continue;
    if (before != kNone) point.read_ns = std::max(point.read_ns, shape_[before].read_ns);
    const size_t gap = before == kNone ? 0 : before + 1;
    const double from = before == kNone ? point.read_ns : shape_[before].read_ns;
    const double width = before == kNone ? 1 : std::ldexp(1, static_cast<int>(i - before)) - 1;
    for (size_t j = gap; j < i; ++j) {
      const double way = before == kNone ? 0 : (std::ldexp(1, static_cast<int>(j - before)) - 1) / width;
      shape_[j].read_ns = from + way * (point.read_ns - from);
    }
    before = i;
  }
}

void LatencyCurve::ReadPace() {
  if (size_ == 0) return;
  WindowQuantile<kWindow> pace;
  constexpr int64_t kFirst = std::numeric_limits<int64_t>::min();
  const int64_t recent_ns = std::max(last_run_ns_, kFirst + kRecentNs) - kRecentNs;
  size_t counted = 0;
  double quick = 0;  // The slowest of the last kQuick.
  for (size_t i = 1; i <= size_; ++i) {
    const Run& run = window_[(next_ + kWindow - i) % kWindow];
    if (run.at_load) {
      pace.Add(run.ns);
    } else if (counted < kFewest || run.at_ns >= recent_ns) {
      const double one = run.ns / Learned(run.place);
      pace.Add(one);
      if (counted < kQuick) quick = std::max(quick, one);
      ++counted;
    }
  }
  typical_pace_ = pace.Quantile(0.5);
  if (counted >= kQuick) typical_pace_ = std::min(typical_pace_, quick);
  mean_pace_ = pace.MeanUpTo(kOutlier * typical_pace_);
  high_pace_ = std::min(pace.Quantile(kHighQuantile), kMostHigh * typical_pace_);
  if (typical_pace_ <= kMostPace && typical_pace_ >= 1 / kMostPace) return;
  const double factor = typical_pace_;
  for (size_t i = 0; i <= last_; ++i) {
    shape_[i].base_ns *= factor;
    shape_[i].read_ns *= factor;
  }
  for (size_t i = 0; i < size_; ++i) {
    if (window_[i].at_load) window_[i].ns /= factor;
  }
  typical_pace_ = 1;
  mean_pace_ /= factor;
  high_pace_ /= factor;
}

void LatencyCurve::Seed(int64_t rows, int64_t ns) {
  if (size_ == 0) {
    for (int i = 0; i < kSeedRuns; ++i) Add({1, {}, true});
  }
  const Place place = PlaceOf(rows);
  if (runs_ > 0 && Measured(place)) return;
  Define(place, Cut(ns) / typical_pace_, 0);
  ReadShape();
}

void LatencyCurve::Record(int64_t rows, int64_t ns, int64_t now) {
  last_run_ns_ = std::max(last_run_ns_, now);
  last_took_ns_ = std::max<int64_t>(ns, 0);
  const Run run{Cut(ns), PlaceOf(rows), false, now};
  if (!Measured(run.place)) {
    Define(run.place, run.ns / typical_pace_, kYoungRuns);
  } else {
    LearnYoung(run.place, run.ns / typical_pace_);
  }
  if (runs_ == kWindow) Learn(window_[(next_ + kWindow / 2) % kWindow]);
  Add(run);
  runs_ = std::min(runs_ + 1, kWindow);
  ReadShares();
  ReadShape();
  ReadPace();
}

bool LatencyCurve::Fresh(int64_t now) const {
  constexpr int64_t kNoRun = std::numeric_limits<int64_t>::min();
  const int64_t took_ns = std::min(last_took_ns_, kMostFreshNs);
  const int64_t fresh_ns = std::clamp(kFreshRuns * took_ns, kLeastFreshNs, kMostFreshNs);
  return last_run_ns_ != kNoRun && last_run_ns_ >= std::max(now, kNoRun + fresh_ns) - fresh_ns;
}

int64_t LatencyCurve::Estimate(int64_t rows, double pace) const {
  if (!known()) return 0;
  return static_cast<int64_t>(std::clamp(pace * Base(PlaceOf(rows)), 1.0, static_cast<double>(kMostNs)));
}

int64_t LatencyCurve::Typical(int64_t rows) const { return Estimate(rows, typical_pace_); }

int64_t LatencyCurve::Mean(int64_t rows) const { return Estimate(rows, mean_pace_); }

int64_t LatencyCurve::High(int64_t rows) const { return Estimate(rows, high_pace_); }

double LatencyCurve::BestRate(int64_t max_rows) const {
  if (!known()) return 0;
  const Place most = PlaceOf(max_rows);
  const auto rate = [this](const Place& place) {
    const double rows = std::ldexp(1 + place.upper, static_cast<int>(place.lower));
    return rows / (typical_pace_ * Base(place));
  };
  // Along a line the rate only rises or only falls: one end of it does most. Beyond the last point it stays.
  double best = rate(most);
  for (size_t i = 0; i <= std::min(most.lower, last_); ++i) best = std::max(best, rate({i, 0}));
  return best;
}

std::vector<LatencyCurve::Point> LatencyCurve::Points() const {
  std::vector<Point> points;
  points.reserve(points_);
  for (size_t i = 0; known() && i <= last_; ++i) {
    if (shape_[i].base_ns == 0) continue;
    const int64_t rows = int64_t{1} << i;
    points.push_back({rows, Typical(rows), High(rows)});
  }
  return points;
}

}  // namespace maas
