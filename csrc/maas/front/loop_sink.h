// The completion sink of one I/O thread: answers are encoded into the chunks that are sent, and told to the
// loop once per batch.
//
// Ownership: owns the bytes of every request under way, and what is kept of it (Pending), from Submit() until
// the core let go of it. Threads: Reserve(), Complete(), DeliveryNs() and refused() from any; the rest from
// the loop's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/batching/delivery_meter.h"
#include "maas/exec/completion.h"
#include "maas/exec/entry.h"
#include "maas/net/chunk.h"
#include "maas/serving/engine.h"

namespace maas {

class LoopSink final : public CompletionSink {
 public:
  // A request under way, as its waiter sees it: from Submit() until OnAnswer() returns, or Cancel() is
  // called.
  struct Ticket {
    // The waiter's own: whose it is, and links of a list.
    void* context = nullptr;
    Ticket* previous = nullptr;
    Ticket* next = nullptr;
    std::span<const std::byte> request;
  };
  // Whom the answers are for.
  class Waiter {
   public:
    // The answer of one request: ok, and its message from kMessagePrefix of `answer` on, or why there is
    // none. An ok `answer` is empty where an earlier one of the same group has it; one that failed may carry
    // those of others. `more`: the next answer of this waiter follows at once, unless it is cancelled
    // meanwhile. May submit, and cancel others; the waiter may go if it has cancelled all of its own.
    virtual void OnAnswer(Ticket* ticket, const Status& status, Chunk answer, bool more) = 0;

   protected:
    ~Waiter() = default;
  };
  struct Options {
    size_t max_answer_bytes = SIZE_MAX;
  };
  struct Submission {
    const Codec* codec = nullptr;
    int64_t deadline_ns = kNever;
    std::string_view tenant;
    uint64_t group = 0;  // As in ReplyTo.
    Waiter* waiter = nullptr;
    void* context = nullptr;
  };

  // How a loop is told: calls `drain` there soon, once per call. Of an EventLoop, its Post().
  using Post = std::function<void(std::function<void()> drain)>;
  // Whom runs are told that nobody waits for any more.
  using Interrupted = std::function<void(const std::vector<Interrupt>&)>;

  LoopSink(const Options& options, Engine* engine, const Clock* clock, Post post, Interrupted interrupted);
  // REQUIRES: nothing under way in the core.
  ~LoopSink() override;
  LoopSink(const LoopSink&) = delete;
  LoopSink& operator=(const LoopSink&) = delete;

  // Submits one request. Ok: *request is taken, *ticket is for Cancel(), and the waiter gets exactly one
  // OnAnswer(), never before this returns, unless it cancels. Otherwise *request is as it was.
  Status Submit(const Submission& how, Chunk* request, Ticket** ticket);
  // The same for `request`, a view into *owner, which is kept until the core let go of it.
  Status Submit(const Submission& how, const std::shared_ptr<const Chunk>& owner,
                std::span<const std::byte> request, Ticket** ticket);
  // The waiter wants no answer any more. Answers of one group come in buffers that any of them may carry: who
  // cancels one cancels all. REQUIRES: it has not got it.
  void Cancel(Ticket* ticket);
  // Within OnAnswer(): the bytes of a request that was submitted as a chunk of its own.
  static Chunk TakeRequest(Ticket* ticket);
  // A number that no other stream of this sink has.
  uint64_t NewGroup() { return ++groups_; }
  // Every Submit() from now on is refused with UNAVAILABLE, reason DRAINING.
  void Close() { closed_ = true; }

  // Requests that there was no room for, or no time.
  uint64_t turned_away() const { return turned_away_; }
  // Requests that the core has not let go of yet, also those that were cancelled.
  size_t under_way() const { return under_way_; }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }  // Since Close().

  void Reserve(std::span<Buffer> buffers) override;
  void Complete(std::span<Completion> done) override;
  int64_t DeliveryNs() const override { return deliveries_.Ns(); }
  // What the last OnAnswer() calls sent has been written.
  void Delivered();

 private:
  struct Pending : Ticket {
    Waiter* waiter = nullptr;            // Null: cancelled.
    Chunk own;                           // The request's bytes are here,
    std::shared_ptr<const Chunk> owner;  // or here.
    std::shared_ptr<Entry> entry;
  };
  Pending* NewPending(const Submission& how);
  void Free(Pending* pending);
  // Gives it to the engine, or refuses it; then the caller frees it.
  Status Submit(const Submission& how, Pending* pending);
  void Drain();

  const Options options_;
  Engine* const engine_;
  const Clock* const clock_;
  const Post post_;
  const Interrupted interrupted_;

  // Of the loop's thread.
  std::deque<Pending> pending_;  // Addresses stay.
  std::vector<Pending*> free_;
  size_t under_way_ = 0;
  uint64_t groups_ = 0;
  uint64_t turned_away_ = 0;
  bool closed_ = false;
  std::vector<Interrupt> interrupts_;  // Of Cancel(); kept for its capacity, as the next one.
  std::vector<Completion> draining_;   // Of Drain().

  // Until answers are written. What follows, up to the caller, is the network's.
  static constexpr int64_t kBeyondNs = 200'000;
  static constexpr int kEvery = 8;
  DeliveryMeter deliveries_{kBeyondNs, kEvery};
  bool timed_ = false;           // Some of what was told since Delivered() had a deadline.
  int64_t drained_from_ns_ = 0;  // When the first of them completed.
  std::atomic<uint64_t> refused_{0};

  Mutex mu_;
  std::vector<Completion> done_ MAAS_GUARDED_BY(mu_);
  bool posted_ MAAS_GUARDED_BY(mu_) = false;
  int64_t completed_ns_ MAAS_GUARDED_BY(mu_) = 0;  // When the first of done_ came.
};

}  // namespace maas
