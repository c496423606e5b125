#include "bindings/asyncio_sink.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "bindings/failure.h"
#include "maas/wire/predict_decoder.h"
#include "maas/wire/predict_encoder.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

int MakeEventFd() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

std::span<const std::byte> BytesOf(PyObject* bytes) {
  return {reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(bytes)),
          static_cast<size_t>(PyBytes_GET_SIZE(bytes))};
}

}  // namespace

AsyncioSink::AsyncioSink(size_t max_answer_bytes) : fd_(MakeEventFd()), max_answer_bytes_(max_answer_bytes) {}

AsyncioSink::~AsyncioSink() {
  for (Call& call : calls_) {
    Py_XDECREF(call.raw);
    Py_XDECREF(call.target);
  }
  MutexLock lock(&mu_);
  for (Completion& done : done_) Py_XDECREF(static_cast<PyObject*>(done.buffer.handle));
  close(fd_);
}

AsyncioSink::Call* AsyncioSink::NewCall(PyObject* raw, PyObject* target, bool stream) {
  uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<uint32_t>(calls_.size());
    calls_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Call* call = &calls_[slot];
  Py_INCREF(raw);
  Py_INCREF(target);
  call->raw = raw;
  call->target = target;
  call->stream = stream;
  if (++generation_ == 0) ++generation_;
  call->ticket = (uint64_t{generation_} << 32) | slot;
  return call;
}

void AsyncioSink::FreeCall(Call* call) {
  const auto slot = static_cast<uint32_t>(call->ticket);
  PyObject* raw = call->raw;
  PyObject* target = call->target;
  *call = Call();
  free_.push_back(slot);
  Py_DECREF(raw);  // Last: may run Python code.
  Py_DECREF(target);
}

Status AsyncioSink::Submit(Engine* engine, std::span<const std::byte> request, int64_t deadline_ns,
                           const ReplyTo& reply, std::string_view tenant, Call* call) {
  Status status;
  try {
    status = engine->Submit(request, deadline_ns, reply, tenant, &call->entry);
  } catch (const std::bad_alloc&) {
    // What a request has in shared memory, or typed, can be more than there is room for.
    status = Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the request");
  }
  if (!status.ok()) FreeCall(call);
  return status;
}

void AsyncioSink::Reserve(std::span<Buffer> buffers) {
  // Held already when a runner finishes; a split request's last slice comes without.
  const py::gil_scoped_acquire gil;
  for (Buffer& buffer : buffers) {
    PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(buffer.size));
    if (bytes == nullptr) {
      PyErr_Clear();
      continue;
    }
    buffer.handle = bytes;
    buffer.data = reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes));
  }
}

void AsyncioSink::Complete(std::span<Completion> done) {
  bool wake = false;
  {
    MutexLock lock(&mu_);
    for (Completion& completion : done) done_.push_back(std::move(completion));
    wake = !signalled_;
    if (wake) completed_ns_ = SteadyClock::Get()->Now();
    signalled_ = true;
  }
  if (!wake) return;
  const uint64_t one = 1;
  // Cannot fail: the counter is read before it could overflow.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof(one));
}

Status AsyncioSink::Submit(Engine* engine, const Codec& codec, const py::bytes& raw, int64_t deadline_ns,
                           const py::object& future, std::string_view tenant, uint64_t* ticket) {
  if (closed_) {
    ++refused_;
    return Status(Code::kUnavailable, "DRAINING", "the server stops");
  }
  Call* call = NewCall(raw.ptr(), future.ptr(), false);
  const Status status = Submit(engine, BytesOf(raw.ptr()), deadline_ns,
                               {this, call, 0, &codec, max_answer_bytes_}, tenant, call);
  if (status.ok()) *ticket = call->ticket;
  return status;
}

py::tuple AsyncioSink::SubmitStream(Engine* engine, const py::bytes& raw, int64_t deadline_ns,
                                    const py::object& stream, uint64_t group, std::string_view tenant) {
  std::vector<std::span<const std::byte>> requests;
  if (const Status status = SplitPredictStreamRequest(BytesOf(raw.ptr()), &requests); !status.ok())
    Raise(status);
  int64_t accepted = 0;
  std::string errors;
  py::list chunks;
  for (const auto& request : requests) {
    Call* call = NewCall(raw.ptr(), stream.ptr(), true);
    const Status status = Submit(engine, request, deadline_ns,
                                 {this, call, group, &PredictStreamCodec(), max_answer_bytes_}, tenant, call);
    if (status.ok()) {
      ++accepted;
    } else {
      errors += EncodeStreamError(PeekRequestId(request), status);
    }
    if (errors.size() >= kMaxSharedBytes) {
      chunks.append(py::bytes(errors));
      errors.clear();
    }
  }
  if (!errors.empty()) chunks.append(py::bytes(errors));
  return py::make_tuple(accepted, chunks);
}

std::vector<Interrupt> AsyncioSink::Cancel(Engine* engine, uint64_t ticket) {
  std::vector<Interrupt> interrupts;
  const auto slot = static_cast<uint32_t>(ticket);
  if (slot >= calls_.size() || calls_[slot].ticket != ticket) return interrupts;
  const std::shared_ptr<Entry> entry = calls_[slot].entry;
  engine->Cancel(entry, &interrupts);
  return interrupts;
}

std::vector<Interrupt> AsyncioSink::CancelStream(Engine* engine, const py::object& stream) {
  // A copy: cancelling completes, and what completes is drained later, so no slot is freed meanwhile.
  std::vector<std::shared_ptr<Entry>> entries;
  for (const Call& call : calls_) {
    if (call.ticket != 0 && call.target == stream.ptr()) entries.push_back(call.entry);
  }
  std::vector<Interrupt> interrupts;
  for (const auto& entry : entries) engine->Cancel(entry, &interrupts);
  return interrupts;
}

py::tuple AsyncioSink::Drain() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = read(fd_, &count, sizeof(count));
  {
    MutexLock lock(&mu_);
    draining_.swap(done_);
    signalled_ = false;
    drained_from_ns_ = completed_ns_;
  }
  struct StreamAnswers {
    py::object stream;
    int64_t answers;
    py::list chunks;
  };
  py::list unary;
  std::vector<StreamAnswers> streams;
  bool timed = false;
  for (Completion& done : draining_) {
    auto* call = static_cast<Call*>(done.tag);
    timed = timed || call->entry->deadline_ns != kNever;
    py::object bytes = py::reinterpret_steal<py::object>(static_cast<PyObject*>(done.buffer.handle));
    if (!call->stream) {
      unary.append(py::reinterpret_borrow<py::object>(call->target));
      unary.append(done.status.ok() ? std::move(bytes) : py::object(ToPython(done.status)));
      FreeCall(call);
      continue;
    }
    size_t s = 0;
    while (s < streams.size() && streams[s].stream.ptr() != call->target) ++s;
    if (s == streams.size()) {
      streams.push_back({py::reinterpret_borrow<py::object>(call->target), 0, py::list()});
    }
    ++streams[s].answers;
    if (bytes) streams[s].chunks.append(std::move(bytes));
    if (!done.status.ok()) {
      streams[s].chunks.append(py::bytes(EncodeStreamError(call->entry->view.id, done.status)));
    }
    FreeCall(call);
  }
  draining_.clear();
  py::list by_stream;
  for (StreamAnswers& s : streams) {
    by_stream.append(py::make_tuple(s.stream, s.answers, s.chunks));
  }
  return py::make_tuple(unary, by_stream, timed);
}

void AsyncioSink::Delivered() { deliveries_.Add(SteadyClock::Get()->Now() - drained_from_ns_); }

}  // namespace maas::bindings
