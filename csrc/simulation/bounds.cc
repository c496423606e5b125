#include "simulation/bounds.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace maas::simulation {
namespace {

// Work that one row is: the least share of a run that fits into `window_ns`, over all cores that it keeps.
// 0: no run fits.
double CostOf(const Model& model, double cores, int64_t rows, double window_ns) {
  const int64_t most = std::max(model.max_batch_rows, rows);
  double best = 0;
  for (int64_t n = 1; n <= most && model.RunNs(n) < window_ns + 1; ++n) {
    const double cost = model.RunNs(n) / static_cast<double>(n);
    if (best == 0 || cost < best) best = cost;
  }
  return best * std::min(static_cast<double>(model.threads), cores);
}

// Time as work: how long a run that nothing disturbs would have taken by each instant.
class WorkTime {
 public:
  explicit WorkTime(const std::vector<Pace>& paces) {
    marks_.push_back({0, 0, 1});
    for (const Pace& pace : paces) marks_.push_back({pace.from_ns, At(pace.from_ns), pace.factor});
  }
  double At(int64_t instant_ns) const {
    const auto after =
        std::upper_bound(marks_.begin(), marks_.end(), instant_ns,
                         [](int64_t instant, const Mark& mark) { return instant < mark.from_ns; });
    const Mark& mark = after == marks_.begin() ? marks_.front() : *(after - 1);
    return mark.work_ns + static_cast<double>(instant_ns - mark.from_ns) / mark.factor;
  }

 private:
  struct Mark {
    int64_t from_ns;
    double work_ns;
    double factor;
  };
  std::vector<Mark> marks_;
};

struct Job {
  double arrival_ns = 0;
  double deadline_ns = 0;
  double work_ns = 0;
  double rows = 0;
  double cost = 0;
};

// The most work that gets done of the jobs that cost at most `cost` a row, at `speed`.
double WorkDone(const std::vector<Job>& jobs, double cost, double speed) {
  using Key = std::pair<double, size_t>;
  std::priority_queue<Key, std::vector<Key>, std::greater<>> waiting;
  std::vector<double> left(jobs.size());
  double done = 0;
  double now = 0;
  size_t next = 0;
  while (next < jobs.size() || !waiting.empty()) {
    if (waiting.empty()) now = std::max(now, jobs[next].arrival_ns);
    for (; next < jobs.size() && jobs[next].arrival_ns <= now; ++next) {
      if (jobs[next].cost > cost) continue;
      left[next] = jobs[next].work_ns;
      waiting.push({jobs[next].deadline_ns, next});
    }
    if (waiting.empty()) continue;
    const auto [deadline_ns, job] = waiting.top();
    double until = std::min(deadline_ns, now + left[job] / speed);
    const bool over = next == jobs.size() || until <= jobs[next].arrival_ns;
    if (!over) until = jobs[next].arrival_ns;
    const double work = std::min(std::max(until - now, 0.0) * speed, left[job]);
    left[job] -= work;
    done += work;
    now = std::max(now, until);
    if (over) waiting.pop();
  }
  return done;
}

}  // namespace

double RowsAtMost(const Trace& trace) {
  const WorkTime time(trace.paces);
  std::vector<Job> jobs;
  std::vector<double> costs;
  double dearest = 0;
  double cheapest = HUGE_VAL;
  for (const Request& request : trace.requests) {
    if (request.deadline_ns == kNever) continue;
    const Model& model = trace.models[request.queue];
    const double arrival = time.At(request.arrival_ns);
    const double deadline = time.At(request.deadline_ns);
    const double cost = CostOf(model, trace.cores, request.rows, deadline - arrival);
    if (cost <= 0) continue;
    const auto rows = static_cast<double>(request.rows);
    jobs.push_back({arrival, deadline, cost * rows, rows, cost});
    cheapest = std::min(cheapest, cost);
    dearest = std::max(dearest, cost);
    if (costs.size() <= kCosts && std::find(costs.begin(), costs.end(), cost) == costs.end()) {
      costs.push_back(cost);
    }
  }
  if (costs.size() > kCosts) {
    costs.clear();
    const double step = std::pow(dearest / cheapest, 1.0 / static_cast<double>(kCosts));
    for (size_t i = 0; i < kCosts; ++i) costs.push_back(cheapest * std::pow(step, static_cast<double>(i)));
    for (Job& job : jobs) {
      const auto above = std::upper_bound(costs.begin() + 1, costs.end(), job.cost);
      job.cost = *(above - 1);
      job.work_ns = job.cost * job.rows;
    }
  }
  std::sort(costs.begin(), costs.end());
  double rows = 0;
  double before = 0;
  for (const double cost : costs) {
    const double done = WorkDone(jobs, cost, trace.cores);
    rows += (done - before) / cost;
    before = done;
  }
  return rows;
}

namespace {

// A chain of batches: when the last one ends, and the first request that is still to be decided on.
struct Chain {
  int64_t free_ns = 0;
  size_t next = 0;
  bool operator<(const Chain& other) const {
    return std::pair(free_ns, next) < std::pair(other.free_ns, other.next);
  }
};

// Leaves the chains that no other beats, at most `width` of them.
void Prune(std::vector<Chain>* chains, size_t width) {
  std::sort(chains->begin(), chains->end());
  size_t kept = 0;
  for (const Chain& chain : *chains) {
    if (kept == 0 || chain.next < (*chains)[kept - 1].next) (*chains)[kept++] = chain;
  }
  chains->resize(kept);
  if (kept <= width) return;
  for (size_t i = 0; i < width; ++i) (*chains)[i] = (*chains)[width == 1 ? 0 : i * (kept - 1) / (width - 1)];
  chains->resize(width);
}

// For each request the first one, itself or later, that may begin a batch of `n` in order: all of it has
// arrived while the first can still wait. The number of requests where there is none. Empty: each may.
std::vector<uint32_t> FirstOfBatch(const std::vector<Request>& requests, size_t n, int64_t slack_ns) {
  const size_t count = requests.size() < n ? 0 : requests.size() - n + 1;
  std::vector<uint32_t> firsts(count);
  auto first = static_cast<uint32_t>(requests.size());
  bool each = true;
  for (size_t i = count; i-- > 0;) {
    const bool fits = requests[i + n - 1].arrival_ns - requests[i].arrival_ns <= slack_ns;
    if (fits) first = static_cast<uint32_t>(i);
    each = each && fits;
    firsts[i] = first;
  }
  return each ? std::vector<uint32_t>() : firsts;
}

bool IsPlain(const Trace& trace) {
  if (trace.models.size() != 1 || !trace.paces.empty() || trace.requests.empty()) return false;
  const Model& model = trace.models[0];
  if (model.instances > 1 && trace.cores >= 2 * model.threads) return false;
  const Request& first = trace.requests[0];
  if (first.deadline_ns == kNever) return false;
  return std::all_of(trace.requests.begin(), trace.requests.end(), [&](const Request& request) {
    return request.rows == 1 &&
           request.deadline_ns - request.arrival_ns == first.deadline_ns - first.arrival_ns;
  });
}

}  // namespace

int64_t RowsInOrder(const Trace& trace, size_t width) {
  if (!IsPlain(trace)) return -1;
  const std::vector<Request>& requests = trace.requests;
  const Model& model = trace.models[0];
  const auto most = static_cast<size_t>(model.max_batch_rows);
  const int64_t window_ns = requests[0].deadline_ns - requests[0].arrival_ns;
  std::vector<int64_t> run_ns(most + 1);
  std::vector<std::vector<uint32_t>> firsts(most + 1);
  for (size_t n = 1; n <= most; ++n) {
    run_ns[n] = static_cast<int64_t>(model.RunNs(static_cast<int64_t>(n)));
    firsts[n] = FirstOfBatch(requests, n, window_ns - run_ns[n]);
  }

  // chains[g % (most + 1)]: those that have answered g rows.
  std::vector<std::vector<Chain>> chains(most + 1);
  chains[0].push_back({});
  size_t last = 0;
  for (size_t good = 0; good <= last; ++good) {
    std::vector<Chain>& from = chains[good % (most + 1)];
    Prune(&from, width);
    for (const Chain& chain : from) {
      for (size_t n = 1; n <= most && run_ns[n] <= window_ns; ++n) {
        const int64_t slack_ns = window_ns - run_ns[n];
        size_t first = chain.next;
        const auto alive = [&](size_t i) { return requests[i].arrival_ns + slack_ns >= chain.free_ns; };
        if (first < requests.size() && !alive(first)) {
          const auto found = std::partition_point(
              requests.begin() + static_cast<std::ptrdiff_t>(first), requests.end(),
              [&](const Request& request) { return request.arrival_ns + slack_ns < chain.free_ns; });
          first = static_cast<size_t>(found - requests.begin());
        }
        if (first + n <= requests.size() && !firsts[n].empty()) first = firsts[n][first];
        if (first + n > requests.size()) break;
        const int64_t start = std::max(chain.free_ns, requests[first + n - 1].arrival_ns);
        chains[(good + n) % (most + 1)].push_back({start + run_ns[n], first + n});
        last = std::max(last, good + n);
      }
    }
    from.clear();
  }
  return static_cast<int64_t>(last);
}

}  // namespace maas::simulation
