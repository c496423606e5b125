#include "simulation/core_scheduler.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace maas::simulation {
namespace {

Outcome OutcomeOf(Death death) {
  switch (death) {
    case Death::kHopeless:
      return Outcome::kHopeless;
    case Death::kTimedOut:
      return Outcome::kTimedOut;
    case Death::kExpired:
    case Death::kCancelled:
    case Death::kAborted:
    case Death::kNone:
      break;
  }
  assert(death == Death::kExpired);
  return Outcome::kExpired;
}

uint64_t HighestPriority(const Trace& trace) {
  uint64_t highest = 1;
  for (const Request& request : trace.requests) highest = std::max(highest, request.priority);
  return highest;
}

}  // namespace

struct CoreScheduler::Item final : QueueItem {
  size_t request = 0;
};

CoreScheduler::CoreScheduler(const Trace* trace)
    : trace_(trace), device_(std::make_shared<Device>(trace->cores)), queues_(trace->models.size()) {
  const uint64_t levels = HighestPriority(*trace);
  for (size_t i = 0; i < trace->models.size(); ++i) {
    const Model& model = trace->models[i];
    BatchQueue::Options options;
    options.batch.max_batch_rows = model.max_batch_rows;
    options.priorities.levels = levels;
    options.max_queue_rows = model.max_queue_rows;
    options.cpus = std::max(static_cast<int>(trace->cores), 1);
    options.process_cpu_ns = [this] { return computed_ns_; };
    options.device = device_;
    options.weight = model.weight;
    options.threads = model.threads;
    queues_[i].queue = std::make_unique<BatchQueue>(std::move(options), &clock_);
    if (model.seed_factor <= 0) continue;
    for (int64_t rows = 1; rows <= model.max_batch_rows; rows *= 2) {
      queues_[i].queue->SeedRun(rows, static_cast<int64_t>(model.RunNs(rows) * model.seed_factor));
    }
  }
}

CoreScheduler::~CoreScheduler() = default;

void CoreScheduler::AdvanceTo(int64_t now) { clock_.Advance(now - clock_.Now()); }

Outcome CoreScheduler::Arrive(size_t request, int64_t now, int64_t* predicted_ns) {
  AdvanceTo(now);
  const Request& arrived = trace_->requests[request];
  auto item = std::make_shared<Item>();
  item->request = request;
  item->rows = arrived.rows;
  item->accepted_ns = now;
  item->deadline_ns = item->due_ns = arrived.deadline_ns;
  item->priority = arrived.priority;
  item->tenant = static_cast<TenantId>(arrived.tenant);
  item->weight = trace_->tenant_weights[arrived.tenant];
  Queue& queue = queues_[arrived.queue];
  const PushResult pushed = queue.queue->Push(item);
  if (item->predicted_ns > 0) *predicted_ns = now + item->predicted_ns;
  switch (pushed) {
    case PushResult::kOk:
      ++queue.waiting;
      return Outcome::kNone;
    case PushResult::kLate:
      return Outcome::kRefusedLate;
    case PushResult::kFull:
    case PushResult::kLevelFull:
    case PushResult::kClosed:
      break;
  }
  return Outcome::kRefusedFull;
}

bool CoreScheduler::Start(int64_t now, Batch* batch, std::vector<Drop>* drops) {
  AdvanceTo(now);
  if (now - swept_ns_ >= kSweepNs) Sweep(now, drops);
  std::vector<Slice> slices;
  std::vector<std::shared_ptr<QueueItem>> dead;
  for (size_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = queues_[i];
    if (std::cmp_greater_equal(queue.running.size(), trace_->models[i].instances)) continue;
    RunTicket ticket;
    const Decision decision = queue.queue->Step(now, &slices, &dead, &ticket);
    Bury(&queue, dead, drops);
    if (slices.empty()) {
      queue.look_ns = decision.until_ns;
      continue;
    }
    *batch = {};
    batch->model = i;
    batch->run = next_run_++;
    for (const Slice& slice : slices) {
      batch->parts.push_back({static_cast<const Item&>(*slice.item).request, slice.rows});
      batch->rows += slice.rows;
    }
    queue.running.emplace(batch->run, Running{std::move(slices), ticket});
    return true;
  }
  return false;
}

void CoreScheduler::End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t now,
                        std::vector<size_t>* whole) {
  AdvanceTo(now);
  Queue& queue = queues_[batch.model];
  const auto found = queue.running.find(batch.run);
  const Running run = std::move(found->second);
  queue.running.erase(found);
  computed_ns_ += cpu_ns * trace_->models[batch.model].threads;
  queue.queue->EndRun(run.ticket, ns, cpu_ns);
  for (const Slice& slice : run.slices) {
    if (!queue.queue->Return(slice)) continue;
    --queue.waiting;
    queue.queue->OnAnswered(1);
    whole->push_back(static_cast<const Item&>(*slice.item).request);
  }
}

int64_t CoreScheduler::LookAt() const {
  int64_t look = kNever;
  bool waiting = false;
  for (size_t i = 0; i < queues_.size(); ++i) {
    const Queue& queue = queues_[i];
    waiting = waiting || queue.waiting > 0;
    if (std::cmp_less(queue.running.size(), trace_->models[i].instances))
      look = std::min(look, queue.look_ns);
  }
  return waiting ? std::min(look, swept_ns_ + kSweepNs) : kNever;
}

void CoreScheduler::Bury(Queue* queue, const std::vector<std::shared_ptr<QueueItem>>& dead,
                         std::vector<Drop>* drops) {
  for (const auto& item : dead) {
    drops->push_back({static_cast<const Item&>(*item).request, OutcomeOf(queue->queue->DeathOf(*item))});
  }
  queue->waiting -= static_cast<int64_t>(dead.size());
  queue->queue->OnAnswered(static_cast<int64_t>(dead.size()));
}

void CoreScheduler::Sweep(int64_t now, std::vector<Drop>* drops) {
  swept_ns_ = now;
  std::vector<std::shared_ptr<QueueItem>> dead;
  for (Queue& queue : queues_) {
    queue.queue->TakeExpired(now, &dead);
    Bury(&queue, dead, drops);
  }
}

uint64_t CoreScheduler::lapses() {
  uint64_t lapses = 0;
  for (Queue& queue : queues_) lapses += queue.queue->ReadScheduling(clock_.Now()).lapses;
  return lapses;
}

}  // namespace maas::simulation
