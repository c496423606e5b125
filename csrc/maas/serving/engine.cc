#include "maas/serving/engine.h"

#include <algorithm>
#include <utility>

#include "maas/model/bind.h"
#include "maas/wire/field_path.h"

namespace maas {
namespace {

// A route may be replaced between look-up and push; each time the new one is tried, up to so often.
constexpr int kRouteTries = 8;
// At most this part of the time that a caller waits is kept free for the answer's way to him.
constexpr int64_t kMostMarginShare = 4;
// A refused caller is asked to stay away for at least this part of the wait that was predicted.
constexpr int64_t kRetryShare = 4;

std::string Milliseconds(int64_t ns) { return std::to_string(std::max<int64_t>(ns, 0) / 1'000'000) + " ms"; }

Status Full(Version* version, PushResult why) {
  const ModelSpec& spec = version->spec;
  const int64_t wait = version->queue.EstimateWait();
  return Status(Code::kResourceExhausted, "QUEUE_FULL",
                "the queue of model " + spec.name + ":" + std::to_string(spec.version) + " is full: " +
                    (why == PushResult::kLevelFull
                         ? "as many requests of this priority wait as its policy allows"
                         : std::to_string(version->queue.waiting_rows()) + " rows wait"))
      .WithRetryAfter(std::max<int64_t>(wait, 1'000'000));
}

// RetryInfo: by then the backlog is so much shorter that a request like this one is in time.
Status Late(Entry* entry) {
  VersionCounters::Add(&entry->version->counters.refused_late, 1);
  const int64_t patience_ns = entry->due_ns - entry->accepted_ns;
  const int64_t excess_ns = entry->predicted_ns - patience_ns;
  return Status(Code::kResourceExhausted, "DEADLINE_UNREACHABLE",
                excess_ns > 0 ? "expected an answer in " + Milliseconds(entry->predicted_ns) +
                                    ", the caller waits for " + Milliseconds(patience_ns)
                              : "an answer in time would make requests late that were accepted before")
      .WithRetryAfter(std::max<int64_t>({excess_ns, entry->predicted_ns / kRetryShare, 1'000'000}));
}

// Whether the answer can be given as typed values.
Status CheckForms(const ModelSpec& spec, const Codec& codec, const BoundRequest& bound) {
  for (const BoundOutput& wanted : bound.outputs) {
    // Shared memory takes raw bytes, in whatever form the message is.
    if (wanted.shared != nullptr) continue;
    const OutputSpec& output = spec.outputs[static_cast<size_t>(wanted.index)];
    const DataType type = wanted.classification != 0 ? DataType::kBytes
                          : wanted.quantize          ? wanted.quantize->datatype
                                                     : output.datatype;
    if (codec.form(type, true) != ElementForm::kNone) continue;
    return Status::Invalid("outputs", "expected an answer in raw form for output '" + output.name + "', as " +
                                          std::string(Name(type)) +
                                          " has no typed form, got a request for typed values");
  }
  return {};
}

}  // namespace

Engine::Engine(Options options, const Clock* clock)
    : options_(options), clock_(clock), tenants_(std::make_shared<Tenants>()) {
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
                      std::string_view tenant, std::shared_ptr<Entry>* out) {
  auto entry = std::make_shared<Entry>();
  entry->accepted_ns = clock_->Now();
  MAAS_RETURN_IF_ERROR(Decode(request, *reply.codec, &entry->view));
  if (entry->view.timeout_us > 0) {
    entry->timeout_ns = entry->view.timeout_us * 1000;
    deadline_ns = std::min(deadline_ns, entry->accepted_ns + entry->timeout_ns);
  }
  entry->priority = entry->view.priority;
  if (deadline_ns <= entry->accepted_ns) {
    return Status(Code::kDeadlineExceeded, "EXPIRED_ON_ARRIVAL",
                  "the deadline had passed when the request came");
  }
  entry->reply = reply;
  for (int attempt = 0; attempt < kRouteTries; ++attempt) {
    std::shared_ptr<Version> version;
    MAAS_RETURN_IF_ERROR(routes_.Find(entry->view.model, entry->view.version, entry->view.label, &version));
    if (attempt > 0) {
      // Closed and still routed to: no other will come.
      if (version == entry->version) break;
      // Binding took the quantizations out of the view, and another version may have another signature.
      MAAS_RETURN_IF_ERROR(Decode(request, *reply.codec, &entry->view));
    }
    const ModelSpec& spec = version->spec;
    MAAS_RETURN_IF_ERROR(BindRequest(spec, &entry->view, &entry->bound));
    if (entry->view.typed) MAAS_RETURN_IF_ERROR(CheckForms(spec, *reply.codec, entry->bound));
    entry->rows = entry->bound.rows;
    entry->solo = entry->bound.solo;
    entry->lane_key = std::move(entry->bound.lane_key);
    entry->size_key = std::move(entry->bound.size_key);
    const bool splits = !entry->solo && entry->rows > spec.max_batch_size;
    entry->split = splits ? std::make_unique<SplitAnswer>() : nullptr;
    if (attempt == 0 && deadline_ns == kNever && version->default_deadline_ns > 0) {
      deadline_ns = entry->accepted_ns + version->default_deadline_ns;
    }
    entry->deadline_ns = deadline_ns;
    // Answers need some time from here to the caller.
    if (deadline_ns != kNever) {
      // A caller in a hurry is not refused for the sake of the answer's way alone.
      const int64_t patience_ns = deadline_ns - entry->accepted_ns;
      const int64_t margin_ns = std::min(reply.sink->DeliveryNs(), patience_ns / kMostMarginShare);
      entry->due_ns = deadline_ns - margin_ns;
      version->counters.margin_ns.store(margin_ns, std::memory_order_relaxed);
    }
    entry->version = std::move(version);
    if (attempt == 0) {
      if (Status status = Admit(tenant, entry.get()); !status.ok()) {
        VersionCounters::Add(&entry->version->counters.rejected, 1);
        VersionCounters::Add(&entry->version->counters.refused_tenant, 1);
        return status;
      }
    }
    // The sink may answer, and so free the tag, before Push() returns: the front must know the entry before.
    *out = entry;
    const PushResult pushed = entry->version->queue.Push(entry);
    if (pushed == PushResult::kOk) {
      VersionCounters::Add(&entry->version->counters.accepted, 1);
      return {};
    }
    out->reset();
    if (pushed != PushResult::kClosed) {
      VersionCounters::Add(&entry->version->counters.rejected, 1);
      return pushed == PushResult::kLate ? Late(entry.get()) : Full(entry->version.get(), pushed);
    }
  }
  return Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE", "the version is being unloaded");
}

Status Engine::Decode(std::span<const std::byte> request, const Codec& codec, PredictRequestView* view) {
  MAAS_RETURN_IF_ERROR(codec.decode(request, view));
  for (size_t i = 0; i < view->inputs.size(); ++i) {
    if (view->inputs[i].shared == nullptr) continue;
    const FieldPath path{nullptr, "inputs", static_cast<std::ptrdiff_t>(i)};
    MAAS_RETURN_IF_ERROR(shared_memory_.Find(&path, view->inputs[i].shared.get()));
  }
  for (size_t i = 0; i < view->outputs.size(); ++i) {
    if (view->outputs[i].shared == nullptr) continue;
    const FieldPath path{nullptr, "outputs", static_cast<std::ptrdiff_t>(i)};
    MAAS_RETURN_IF_ERROR(shared_memory_.Find(&path, view->outputs[i].shared.get()));
  }
  return {};
}

Status Engine::Admit(std::string_view tenant, Entry* entry) {
  Tenants::Account account;
  MAAS_RETURN_IF_ERROR(tenants_->Admit(tenant, entry->rows, entry->accepted_ns, &account));
  entry->tenant = account.id;
  entry->weight = account.weight;
  entry->lease = std::shared_ptr<void>(nullptr, [tenants = tenants_, id = account.id,
                                                 rows = entry->rows](void*) { tenants->Release(id, rows); });
  return {};
}

void Engine::Cancel(const std::shared_ptr<Entry>& entry, std::vector<Interrupt>* interrupts) {
  if (!entry->version->queue.Cancel(entry.get(), interrupts)) return;
  std::vector<std::shared_ptr<QueueItem>> one{entry};
  CompleteUnrun(&one, Status(Code::kCancelled, "CANCELLED", "the caller went away"), Outcome::kCancelled);
}

void Engine::Sweep(int64_t now) {
  std::vector<std::shared_ptr<QueueItem>> dead;
  for (const auto& version : routes_.Versions()) {
    version->queue.TakeExpired(now, &dead);
    CompleteDropped(&dead);
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
  CompleteUnrun(&left, status, Outcome::kFailed);
}

}  // namespace maas
