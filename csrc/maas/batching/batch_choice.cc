#include "maas/batching/batch_choice.h"

#include <algorithm>

#include "maas/base/clock.h"

namespace maas {
namespace {

// Time begins to have a price when so much of what the device can serve is asked for, and has its full price
// at the second.
constexpr double kFreeBelow = 0.8;
constexpr double kFullFrom = 1.0;
// ThriftyRows() serves so much of what the largest batch does.
constexpr double kNearly = 0.8;
// A larger batch must serve this much more to be the target.
constexpr double kWorthwhile = 1.01;

// The most rows up to `max_rows` that run within `ns`; at least 1.
int64_t LargestBy(const LatencyCurve& curve, int64_t max_rows, int64_t ns) {
  if (curve.High(max_rows) <= ns) return max_rows;
  int64_t fits = 1;
  int64_t too_many = max_rows;
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    (curve.High(middle) <= ns ? fits : too_many) = middle;
  }
  return fits;
}

// The rows of the batch that a choice makes, and those of them that count.
struct Rows {
  int64_t all = 0;
  int64_t counted = 0;
};
Rows RowsOf(const Choice& choice, std::span<const Waiting> order) {
  Rows rows;
  for (const Waiting& one : order) {
    if (one.due_ns < choice.due_from_ns) continue;
    if (rows.all + one.rows > choice.max_rows) break;
    rows.all += one.rows;
    if (one.counts) rows.counted += one.rows;
  }
  return rows;
}

// What comes of what a choice leaves of `order` if from `now` on it is served in order, passing over who
// cannot be served any more.
struct Outcome {
  int64_t served = 0;
  int64_t time_ns = 0;
};
Outcome ServeRest(const LatencyCurve& curve, std::span<const Waiting> order, const Choice& choice,
                  int64_t max_rows, int64_t now) {
  Outcome outcome;
  int64_t taken = 0;
  bool full = false;
  int64_t rows = 0;
  int64_t due_ns = kNever;
  const auto run = [&] {
    if (rows == 0) return;
    const int64_t ns = curve.Mean(rows);
    outcome.served += rows;
    outcome.time_ns += ns;
    now += ns;
    rows = 0;
    due_ns = kNever;
  };
  for (const Waiting& one : order) {
    if (!full && one.due_ns >= choice.due_from_ns) {
      full = taken + one.rows > choice.max_rows;
      if (!full) {
        taken += one.rows;
        continue;
      }
    }
    const int64_t together = std::min(due_ns, one.due_ns);
    if (rows + one.rows > max_rows || now + curve.High(rows + one.rows) > together) run();
    if (!one.counts || now + curve.High(one.rows) > one.due_ns) continue;
    rows += one.rows;
    due_ns = std::min(due_ns, one.due_ns);
  }
  run();
  return outcome;
}

}  // namespace

double TimePrice(double demand, double best_rate) {
  if (best_rate <= 0) return 0;
  const double load = demand / best_rate;
  return best_rate * std::clamp((load - kFreeBelow) / (kFullFrom - kFreeBelow), 0.0, 1.0);
}

bool IsHopeless(const LatencyCurve& curve, int64_t max_rows, const Waiting& one, int64_t now) {
  return one.due_ns != kNever && now + curve.Typical(std::min(one.rows, max_rows)) > one.due_ns;
}

Choice ChooseBatch(const LatencyCurve& curve, std::span<const Waiting> order, int64_t max_rows,
                   double time_price, int64_t now) {
  int64_t rows = 0;
  const Waiting* tightest = &order.front();
  for (const Waiting& one : order) {
    if (one.counts && (!tightest->counts || one.due_ns < tightest->due_ns)) tightest = &one;
    rows = std::min(rows + one.rows, max_rows);
  }
  const int64_t tightest_ns = tightest->due_ns;
  // The largest batch that is in time for all.
  int64_t size = tightest_ns == kNever ? max_rows : LargestBy(curve, max_rows, tightest_ns - now);
  const auto choice_of = [&](int64_t limit) { return Choice{now + curve.High(limit), limit}; };
  // Typically in time, but not at the high estimate: alone, he has his chance.
  const bool alone = now + curve.High(size) > tightest_ns;
  Choice best = alone ? Choice{tightest_ns, tightest->rows} : choice_of(size);
  if (!alone && size >= rows) return best;

  // Somebody has little time left. Other batches: for those who have time for half as much again, and so on.
  const auto score = [&](const Choice& choice) {
    const Rows batch = RowsOf(choice, order);
    if (batch.counted == 0) return -static_cast<double>(LatencyCurve::kMostNs);  // Nobody has so much time.
    const int64_t ns = curve.Mean(batch.all);
    const Outcome rest = ServeRest(curve, order, choice, max_rows, now + ns);
    return static_cast<double>(batch.counted + rest.served) -
           time_price * static_cast<double>(ns + rest.time_ns);
  };
  double most = score(best);
  while (size < max_rows) {
    size = std::min(size + std::max<int64_t>(size / 2, 1), max_rows);
    const Choice larger = choice_of(size);
    if (const double value = score(larger); value > most) {
      most = value;
      best = larger;
    }
  }
  return best;
}

int64_t TargetRows(const LatencyCurve& curve, int64_t max_rows, double demand, int64_t patience_ns) {
  int64_t target = 1;
  double best = 0;
  for (int64_t size = 1;; size *= 2) {
    size = std::min(size, max_rows);
    const auto run = static_cast<double>(curve.High(size));
    // Batches of this size one after the other: in each can be who comes during the one before, as late as
    // his patience allows.
    const double window = std::min(run, static_cast<double>(patience_ns) - run);
    if (window <= 0) break;
    const double served = std::min(static_cast<double>(size), demand * window) / run;
    if (served > best * kWorthwhile) {
      best = served;
      target = size;
    }
    if (size == max_rows) break;
  }
  return target;
}

int64_t ThriftyRows(const LatencyCurve& curve, int64_t max_rows) {
  const auto rate = [&curve](int64_t rows) {
    return static_cast<double>(rows) / static_cast<double>(curve.Mean(rows));
  };
  const double enough = kNearly * rate(max_rows);
  int64_t rows = max_rows;
  while (rows > 1) {
    const int64_t fewer = rows - std::max<int64_t>(rows / 8, 1);
    if (rate(fewer) < enough) break;
    rows = fewer;
  }
  return rows;
}

int64_t PredictAnswer(const LatencyCurve& curve, int64_t max_rows, const Ahead& ahead, int64_t rows) {
  // Requests are not split, so the last places of a batch may stay empty; on average few do.
  const int64_t full = ahead.rows / max_rows;
  const int64_t mine =
      std::clamp(ahead.rows % max_rows + rows, std::min(ahead.target_rows, max_rows), max_rows);
  double wait = static_cast<double>(full) * static_cast<double>(curve.Mean(max_rows)) +
                static_cast<double>(ahead.other_ns);
  // More than a batch by itself: one after the other.
  const int64_t more = (ahead.rows % max_rows + rows - 1) / max_rows;
  wait += static_cast<double>(more) * static_cast<double>(curve.Mean(max_rows));
  const double ns = wait / ahead.share + static_cast<double>(curve.High(mine));
  return ahead.free_ns + static_cast<int64_t>(std::min(ns, static_cast<double>(LatencyCurve::kMostNs)));
}

}  // namespace maas
