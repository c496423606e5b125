// The completion sink of the asyncio front: answers become bytes objects, completions a list that the loop
// drains.
//
// Ownership: owns, per request under way (a Call), a reference to its bytes and to its target (a future, or a
// stream). Both are released when the loop drains the completion. Threads: Reserve() and Complete() from any
// thread; the rest from the loop's thread, under the GIL. The GIL is never waited for under mu_.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/batching/delivery_meter.h"
#include "maas/exec/completion.h"
#include "maas/exec/entry.h"
#include "maas/serving/engine.h"

namespace maas::bindings {

class AsyncioSink final : public CompletionSink {
 public:
  // No answer is larger than `max_answer_bytes`: those requests fail.
  explicit AsyncioSink(size_t max_answer_bytes);
  // REQUIRES: the GIL; no request under way in the core.
  ~AsyncioSink() override;
  AsyncioSink(const AsyncioSink&) = delete;
  AsyncioSink& operator=(const AsyncioSink&) = delete;

  void Reserve(std::span<Buffer> buffers) override;
  void Complete(std::span<Completion> done) override;

  // Submits one request of the codec's protocol; its answer goes to `future`. When OK, *ticket is for
  // Cancel().
  Status Submit(Engine* engine, const Codec& codec, const pybind11::bytes& raw, int64_t deadline_ns,
                const pybind11::object& future, std::string_view tenant, uint64_t* ticket);
  // Every Submit() from now on is refused with UNAVAILABLE; what was accepted goes on.
  void Close() { closed_ = true; }
  // How many Submit() calls came after that.
  uint64_t refused() const { return refused_; }
  // Submits the requests of one PredictStreamRequest. Returns (accepted, errors): `errors` are chunks of
  // encoded answers to the requests that were refused, about kMaxSharedBytes each. Raises CoreError when the
  // message itself does not decode.
  pybind11::tuple SubmitStream(Engine* engine, const pybind11::bytes& raw, int64_t deadline_ns,
                               const pybind11::object& stream, uint64_t group, std::string_view tenant);
  // A ticket whose call is over is ignored. Returns the runs that nobody waits for any more.
  std::vector<Interrupt> Cancel(Engine* engine, uint64_t ticket);
  // The same for all that is under way for a stream.
  std::vector<Interrupt> CancelStream(Engine* engine, const pybind11::object& stream);

  // What completed since the last call: ([future, result, future, result, ...], [(stream, answers, [bytes,
  // ...]), ...], timed). A result is the response's bytes, or the tuple of failure.h. `timed`: some had a
  // deadline, and Delivered() should be told when all have been handed on.
  pybind11::tuple Drain();
  // What Drain() returned last has been handed to those who send it.
  void Delivered();
  int64_t DeliveryNs() const override { return deliveries_.Ns(); }

  // Readable when Drain() has something to return.
  int fd() const { return fd_; }

 private:
  struct Call {
    PyObject* raw = nullptr;
    PyObject* target = nullptr;
    std::shared_ptr<Entry> entry;
    uint64_t ticket = 0;  // 0: the slot is free. The slot's index, and a generation above it.
    bool stream = false;
  };
  Call* NewCall(PyObject* raw, PyObject* target, bool stream);
  // Gives the call to the engine, or frees it.
  Status Submit(Engine* engine, std::span<const std::byte> request, int64_t deadline_ns, const ReplyTo& reply,
                std::string_view tenant, Call* call);
  void FreeCall(Call* call);

  const int fd_;
  const size_t max_answer_bytes_;

  // Guarded by the GIL.
  std::deque<Call> calls_;  // Addresses stay.
  std::vector<uint32_t> free_;
  uint32_t generation_ = 0;
  bool closed_ = false;
  uint64_t refused_ = 0;
  int64_t drained_from_ns_ = 0;  // When the first of what Drain() returned last completed.
  // From then until they were handed on. What follows, up to the wire, is grpc's.
  static constexpr int64_t kBeyondNs = 1'000'000;
  DeliveryMeter deliveries_{kBeyondNs, /*every=*/1};

  Mutex mu_;
  std::vector<Completion> done_ MAAS_GUARDED_BY(mu_);
  bool signalled_ MAAS_GUARDED_BY(mu_) = false;
  int64_t completed_ns_ MAAS_GUARDED_BY(mu_) = 0;  // When the first of done_ came.

  std::vector<Completion> draining_;  // Of Drain(); kept for its capacity.
};

}  // namespace maas::bindings
