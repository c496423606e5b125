#include "maas/front/loop_sink.h"

#include <new>
#include <utility>

#include "maas/rpc/message_reader.h"

namespace maas {
namespace {

// What Reserve() gave out comes back as the chunk that it is.
Chunk TakeBuffer(const Buffer& buffer) {
  if (buffer.handle == nullptr) return {};
  return Chunk::Adopt(static_cast<std::byte*>(buffer.handle), kMessagePrefix + buffer.size);
}

}  // namespace

LoopSink::LoopSink(const Options& options, Engine* engine, const Clock* clock, Post post,
                   Interrupted interrupted)
    : options_(options),
      engine_(engine),
      clock_(clock),
      post_(std::move(post)),
      interrupted_(std::move(interrupted)) {}

LoopSink::~LoopSink() {
  MutexLock lock(&mu_);
  for (const Completion& done : done_) TakeBuffer(done.buffer);
}

LoopSink::Pending* LoopSink::NewPending(const Submission& how) {
  if (free_.empty()) free_.push_back(&pending_.emplace_back());
  Pending* pending = free_.back();
  free_.pop_back();
  pending->waiter = how.waiter;
  pending->context = how.context;
  ++under_way_;
  return pending;
}

void LoopSink::Free(Pending* pending) {
  pending->waiter = nullptr;
  pending->context = nullptr;
  pending->previous = pending->next = nullptr;
  pending->request = {};
  pending->entry.reset();
  pending->own = Chunk();
  pending->owner.reset();
  free_.push_back(pending);
  --under_way_;
}

Status LoopSink::Submit(const Submission& how, Pending* pending) {
  if (closed_) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return Status(Code::kUnavailable, "DRAINING", "the server stops");
  }
  try {
    Status status = engine_->Submit(pending->request, how.deadline_ns,
                                    {this, pending, how.group, how.codec, options_.max_answer_bytes},
                                    how.tenant, &pending->entry);
    if (status.code() == Code::kResourceExhausted) ++turned_away_;
    return status;
  } catch (const std::bad_alloc&) {
    // What a request has in shared memory, or typed, can be more than there is room for.
    return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the request");
  }
}

Status LoopSink::Submit(const Submission& how, Chunk* request, Ticket** ticket) {
  Pending* pending = NewPending(how);
  pending->own = std::move(*request);
  pending->request = pending->own.bytes();
  Status status = Submit(how, pending);
  if (status.ok()) {
    *ticket = pending;
  } else {
    *request = std::move(pending->own);
    Free(pending);
  }
  return status;
}

Status LoopSink::Submit(const Submission& how, const std::shared_ptr<const Chunk>& owner,
                        std::span<const std::byte> request, Ticket** ticket) {
  Pending* pending = NewPending(how);
  pending->owner = owner;
  pending->request = request;
  Status status = Submit(how, pending);
  if (status.ok()) {
    *ticket = pending;
  } else {
    Free(pending);
  }
  return status;
}

void LoopSink::Cancel(Ticket* ticket) {
  auto* pending = static_cast<Pending*>(ticket);
  pending->waiter = nullptr;
  // It completes later, if it has not yet: Drain() frees it.
  engine_->Cancel(pending->entry, &interrupts_);
  if (interrupts_.empty()) return;
  interrupted_(interrupts_);
  interrupts_.clear();
}

Chunk LoopSink::TakeRequest(Ticket* ticket) { return std::move(static_cast<Pending*>(ticket)->own); }

void LoopSink::Reserve(std::span<Buffer> buffers) {
  for (Buffer& buffer : buffers) {
    Chunk chunk;
    if (!chunk.Reserve(kMessagePrefix + buffer.size)) continue;
    buffer.data = chunk.data() + kMessagePrefix;
    buffer.handle = chunk.Release();
  }
}

void LoopSink::Complete(std::span<Completion> done) {
  {
    MutexLock lock(&mu_);
    for (Completion& completion : done) done_.push_back(std::move(completion));
    if (posted_) return;
    posted_ = true;
    completed_ns_ = clock_->Now();
  }
  post_([this] { Drain(); });
}

void LoopSink::Drain() {
  int64_t from_ns = 0;
  {
    MutexLock lock(&mu_);
    draining_.swap(done_);
    posted_ = false;
    from_ns = completed_ns_;
  }
  if (!timed_) drained_from_ns_ = from_ns;
  for (size_t i = 0; i < draining_.size(); ++i) {
    Completion& done = draining_[i];
    auto* pending = static_cast<Pending*>(done.tag);
    Chunk answer = TakeBuffer(done.buffer);
    timed_ = timed_ || pending->entry->deadline_ns != kNever;
    if (pending->waiter != nullptr) {
      const bool more =
          i + 1 < draining_.size() && static_cast<Pending*>(draining_[i + 1].tag)->waiter == pending->waiter;
      pending->waiter->OnAnswer(pending, done.status, std::move(answer), more);
    }
    Free(pending);
  }
  draining_.clear();
}

void LoopSink::Delivered() {
  if (!timed_) return;
  timed_ = false;
  deliveries_.Add(clock_->Now() - drained_from_ns_);
}

}  // namespace maas
