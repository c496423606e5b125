#include "maas/front/front_server.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <utility>

#include "maas/base/mutex.h"
#include "maas/front/acceptor.h"
#include "maas/front/io_thread.h"
#include "maas/net/memory_budget.h"
#include "maas/net/socket.h"

namespace maas {

struct FrontServer::Impl {
  explicit Impl(const FrontOptions& with) : options(with), budget(with.memory_limit) {}
  ~Impl();

  Status Start(Engine* engine);
  // From the first thread: who gets a new connection.
  void Assign(FileDescriptor socket, std::string address);
  void Notify();
  // From a thread: it has no connection; it has nothing under way.
  void Drained();
  void Idle();

  const FrontOptions options;
  MemoryBudget budget;
  FileDescriptor event;
  uint16_t port = 0;
  std::vector<std::unique_ptr<IoThread>> threads;
  bool running = false;
  std::unique_ptr<Acceptor> acceptor;  // Of the first thread.
  size_t next = 0;                     // Of the first thread: where Assign() begins to look.
  std::atomic<size_t> drained{0};      // Threads.
  std::atomic<size_t> idle{0};         // Of them.

  Mutex mu;
  std::vector<Interrupt> interrupts MAAS_GUARDED_BY(mu);
};

Status FrontServer::Impl::Start(Engine* engine) {
  RaiseDescriptorLimit();
  event = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) {
    return Status(Code::kResourceExhausted, "TOO_MANY_FILES",
                  std::string("the front cannot start: ") + std::strerror(errno));
  }
  std::vector<FileDescriptor> listening;
  MAAS_RETURN_IF_ERROR(Listen(options.host, options.port, &listening, &port));
  const auto interrupted = [this](const std::vector<Interrupt>& more) {
    {
      MutexLock lock(&mu);
      interrupts.insert(interrupts.end(), more.begin(), more.end());
    }
    Notify();
  };
  for (int number = 0; number < std::max(1, options.io_threads); ++number) {
    std::unique_ptr<IoThread> thread;
    MAAS_RETURN_IF_ERROR(IoThread::Make({&options, SteadyClock::Get(), engine, &budget, number, interrupted,
                                         [this] { Drained(); }, [this] { Idle(); }},
                                        &thread));
    threads.push_back(std::move(thread));
  }
  IoThread& first = *threads.front();
  acceptor = std::make_unique<Acceptor>(
      &first.loop(), std::move(listening), &first.tally(),
      [this](FileDescriptor socket, std::string address) { Assign(std::move(socket), std::move(address)); });
  MAAS_RETURN_IF_ERROR(acceptor->Start());
  for (const auto& thread : threads) thread->Start();
  running = true;
  return {};
}

FrontServer::Impl::~Impl() {
  // The first thread gives the others work until nobody is accepted any more.
  if (running) {
    auto closed = std::make_shared<std::promise<void>>();
    threads.front()->loop().Post([this, closed] {
      acceptor.reset();
      closed->set_value();
    });
    closed->get_future().wait();
  }
  acceptor.reset();
  threads.clear();
}

void FrontServer::Impl::Assign(FileDescriptor socket, std::string address) {
  // The one with the fewest; of several, each in its turn.
  size_t chosen = next;
  uint64_t fewest = UINT64_MAX;
  for (size_t i = 0; i < threads.size(); ++i) {
    const size_t place = (next + i) % threads.size();
    const uint64_t open = threads[place]->tally().open.load(std::memory_order_relaxed);
    if (open >= fewest) continue;
    fewest = open;
    chosen = place;
  }
  next = (chosen + 1) % threads.size();
  IoThread* const thread = threads[chosen].get();
  thread->tally().open.fetch_add(1, std::memory_order_relaxed);
  if (chosen == 0) return thread->Take(std::move(socket), std::move(address));
  // Functions are copied, sockets are not.
  auto shared = std::make_shared<FileDescriptor>(std::move(socket));
  thread->loop().Post([thread, shared = std::move(shared), address = std::move(address)] {
    thread->Take(std::move(*shared), address);
  });
}

void FrontServer::Impl::Notify() {
  const uint64_t one = 1;
  const ssize_t written = write(event.get(), &one, sizeof(one));
  static_cast<void>(written);  // Full of notices is noticed enough.
}

void FrontServer::Impl::Drained() {
  if (drained.fetch_add(1) + 1 == threads.size()) Notify();
}

void FrontServer::Impl::Idle() {
  if (idle.fetch_add(1) + 1 == threads.size()) Notify();
}

FrontServer::FrontServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

FrontServer::~FrontServer() = default;

Status FrontServer::Start(const FrontOptions& options, Engine* engine, std::unique_ptr<FrontServer>* out) {
  auto impl = std::make_unique<Impl>(options);
  MAAS_RETURN_IF_ERROR(impl->Start(engine));
  out->reset(new FrontServer(std::move(impl)));  // NOLINT(*-owning-memory)
  return {};
}

uint16_t FrontServer::port() const { return impl_->port; }

void FrontServer::SetState(const std::shared_ptr<const ServingState>& state) {
  for (const auto& thread : impl_->threads) thread->SetState(state);
}

void FrontServer::SetTls(const std::shared_ptr<const TlsContext>& tls) {
  for (const auto& thread : impl_->threads) thread->SetTls(tls);
}

void FrontServer::Refuse() {
  for (const auto& thread : impl_->threads) thread->Refuse();
}

uint64_t FrontServer::refused() const {
  uint64_t refused = 0;
  for (const auto& thread : impl_->threads) refused += thread->refused();
  return refused;
}

void FrontServer::Shutdown(int64_t grace_ns) {
  Impl* const impl = impl_.get();
  impl->threads.front()->loop().Post([impl, grace_ns] {
    impl->acceptor->Close();
    // Behind the last connections that they were given.
    for (const auto& thread : impl->threads) {
      IoThread* const one = thread.get();
      one->loop().Post([one, grace_ns] { one->Shutdown(grace_ns); });
    }
  });
}

bool FrontServer::finished() const { return impl_->drained.load() == impl_->threads.size(); }

bool FrontServer::idle() const { return impl_->idle.load() == impl_->threads.size(); }

std::vector<Interrupt> FrontServer::TakeInterrupts() {
  uint64_t notices = 0;
  const ssize_t got = read(impl_->event.get(), &notices, sizeof(notices));
  static_cast<void>(got);  // There may be none.
  std::vector<Interrupt> taken;
  MutexLock lock(&impl_->mu);
  taken.swap(impl_->interrupts);
  return taken;
}

int FrontServer::fd() const { return impl_->event.get(); }

FrontCounters FrontServer::counters() const {
  FrontCounters sum;
  std::array<uint64_t, kEndReasons.size()> ended{};
  for (const auto& thread : impl_->threads) {
    const FrontTally& tally = thread->tally();
    sum.connections += tally.connections.value();
    sum.open_connections += tally.open.load(std::memory_order_relaxed);
    sum.calls += tally.calls.value();
    sum.passed_through += tally.passed_through.value();
    sum.received_bytes += tally.received_bytes.value();
    sum.sent_bytes += tally.sent_bytes.value();
    sum.accept_failures += tally.accept_failures.value();
    for (size_t i = 0; i < ended.size(); ++i) ended[i] += tally.ended[i].value();
  }
  sum.memory_bytes = impl_->budget.used();
  // In order, or broken by the network: that is no peer's deed.
  for (auto reason = static_cast<size_t>(EndReason::kProtocol); reason < ended.size(); ++reason)
    sum.ended.emplace_back(kEndReasons[reason], ended[reason]);
  return sum;
}

}  // namespace maas
