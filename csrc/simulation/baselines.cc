#include "simulation/baselines.h"

#include <algorithm>

namespace maas::simulation {

Baseline::Baseline(const Trace* trace, BaselineOptions options)
    : trace_(trace), options_(options), queues_(trace->models.size()), running_(trace->models.size(), 0) {}

Outcome Baseline::Arrive(size_t request, int64_t /*now*/, int64_t* /*predicted_ns*/) {
  const Request& arrived = trace_->requests[request];
  queues_[arrived.queue].push({options_.by_deadline ? arrived.deadline_ns : arrived.arrival_ns, request});
  return Outcome::kNone;
}

void Baseline::DropDead(Queue* queue, int64_t now, std::vector<Drop>* drops) const {
  while (!queue->empty()) {
    const size_t request = queue->top().second;
    const Request& front = trace_->requests[request];
    if (options_.by_deadline && front.deadline_ns <= now) {
      drops->push_back({request, Outcome::kExpired});
    } else if (options_.timeout_ns != kNever && now - front.arrival_ns >= options_.timeout_ns) {
      drops->push_back({request, Outcome::kTimedOut});
    } else {
      return;
    }
    queue->pop();
  }
}

bool Baseline::Start(int64_t now, Batch* batch, std::vector<Drop>* drops) {
  size_t best = queues_.size();
  for (size_t i = 0; i < queues_.size(); ++i) {
    const Model& model = trace_->models[i];
    if (running_[i] >= model.instances) continue;
    if (cores_in_use_ > 0 && cores_in_use_ + model.threads > trace_->cores) continue;
    DropDead(&queues_[i], now, drops);
    if (queues_[i].empty()) continue;
    if (best == queues_.size() || queues_[i].top() < queues_[best].top()) best = i;
  }
  if (best == queues_.size()) return false;

  Queue& queue = queues_[best];
  *batch = {};
  batch->model = best;
  while (!queue.empty()) {
    const size_t request = queue.top().second;
    const int64_t rows = trace_->requests[request].rows;
    if (!batch->parts.empty() && batch->rows + rows > trace_->models[best].max_batch_rows) break;
    batch->parts.push_back({request, rows});
    batch->rows += rows;
    queue.pop();
    DropDead(&queue, now, drops);
  }
  ++running_[best];
  cores_in_use_ += trace_->models[best].threads;
  return true;
}

void Baseline::End(const Batch& batch, int64_t /*ns*/, int64_t /*cpu_ns*/, int64_t /*now*/,
                   std::vector<size_t>* whole) {
  --running_[batch.model];
  cores_in_use_ -= trace_->models[batch.model].threads;
  for (const Part& part : batch.parts) whole->push_back(part.request);
}

}  // namespace maas::simulation
