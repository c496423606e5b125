#include "maas/serving/engine.h"

#include <algorithm>
#include <utility>

#include "maas/model/bind.h"
#include "maas/wire/predict_decoder.h"

namespace maas {
namespace {

// A route may be replaced between look-up and push; each time the new one is tried, up to so often.
constexpr int kRouteTries = 8;

Status Full(Version* version) {
  const ModelSpec& spec = version->spec;
  const int64_t wait = version->queue.EstimateWait();
  return Status(Code::kResourceExhausted, "QUEUE_FULL",
                "the queue of model " + spec.name + ":" + std::to_string(spec.version) +
                    " is full: " + std::to_string(version->queue.waiting_rows()) + " rows wait")
      .WithRetryAfter(std::max<int64_t>(wait, 1'000'000));
}

Status Expired() {
  return Status(Code::kDeadlineExceeded, "EXPIRED_IN_QUEUE", "the deadline passed in the queue");
}

}  // namespace

Engine::Engine(Options options, const Clock* clock) : options_(options), clock_(clock) {
  if (options_.sweep_interval_ns > 0) sweeper_ = std::thread([this] { SweepLoop(); });
}

Engine::~Engine() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  wake_.SignalAll();
  if (sweeper_.joinable()) sweeper_.join();
}

Status Engine::Submit(std::span<const std::byte> request, int64_t deadline_ns, const ReplyTo& reply,
                      std::shared_ptr<Entry>* out) {
  auto entry = std::make_shared<Entry>();
  entry->accepted_ns = clock_->Now();
  MAAS_RETURN_IF_ERROR(DecodePredictRequest(request, &entry->view));
  if (entry->view.timeout_us > 0) {
    deadline_ns = std::min(deadline_ns, entry->accepted_ns + entry->view.timeout_us * 1000);
  }
  if (deadline_ns <= entry->accepted_ns) {
    return Status(Code::kDeadlineExceeded, "EXPIRED_ON_ARRIVAL",
                  "the deadline had passed when the request came");
  }
  entry->deadline_ns = deadline_ns;
  entry->reply = reply;
  for (int attempt = 0; attempt < kRouteTries; ++attempt) {
    std::shared_ptr<Version> version;
    MAAS_RETURN_IF_ERROR(routes_.Find(entry->view.model, entry->view.version, entry->view.label, &version));
    if (attempt > 0) {
      // Closed and still routed to: no other will come.
      if (version == entry->version) break;
      // Binding took the quantizations out of the view, and another version may have another signature.
      MAAS_RETURN_IF_ERROR(DecodePredictRequest(request, &entry->view));
    }
    const ModelSpec& spec = version->spec;
    MAAS_RETURN_IF_ERROR(BindRequest(spec, &entry->view, &entry->bound));
    entry->rows = entry->bound.rows;
    entry->solo = entry->bound.solo;
    entry->lane_key = std::move(entry->bound.lane_key);
    const bool splits = !entry->solo && entry->rows > spec.max_batch_size;
    entry->split = splits ? std::make_unique<SplitAnswer>() : nullptr;
    entry->version = std::move(version);
    // The sink may answer, and so free the tag, before Push() returns: the front must know the entry before.
    *out = entry;
    const PushResult pushed = entry->version->queue.Push(entry);
    if (pushed == PushResult::kOk) {
      VersionCounters::Add(&entry->version->counters.accepted, 1);
      return {};
    }
    out->reset();
    if (pushed == PushResult::kFull) {
      VersionCounters::Add(&entry->version->counters.rejected, 1);
      return Full(entry->version.get());
    }
  }
  return Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE", "the version is being unloaded");
}

void Engine::Cancel(const std::shared_ptr<Entry>& entry) {
  if (!entry->version->queue.Cancel(entry.get())) return;
  std::vector<std::shared_ptr<QueueItem>> one{entry};
  CompleteUnrun(&one, Status(Code::kCancelled, "CANCELLED", "the caller went away"),
                &VersionCounters::cancelled);
}

void Engine::Sweep(int64_t now) {
  std::vector<std::shared_ptr<QueueItem>> dead;
  for (const auto& version : routes_.Versions()) {
    version->queue.TakeExpired(now, &dead);
    if (!dead.empty()) CompleteUnrun(&dead, Expired(), &VersionCounters::expired);
  }
}

void Engine::SweepLoop() {
  while (true) {
    {
      MutexLock lock(&mu_);
      if (!stopping_) wake_.WaitFor(&mu_, options_.sweep_interval_ns);
      if (stopping_) return;
    }
    Sweep(clock_->Now());
  }
}

void CloseVersion(Version* version) { version->queue.Close(); }

void AbortVersion(Version* version, const Status& status) {
  version->queue.Close();
  std::vector<std::shared_ptr<QueueItem>> left;
  version->queue.TakeAll(&left);
  CompleteUnrun(&left, status, &VersionCounters::failed);
}

}  // namespace maas
