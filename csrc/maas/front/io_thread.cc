#include "maas/front/io_thread.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "maas/base/clock.h"

namespace maas {
namespace {

constexpr size_t kScratchBytes = 256 << 10;

}  // namespace

Status IoThread::Make(Options options, std::unique_ptr<IoThread>* out) {
  std::unique_ptr<EventLoop> loop;
  MAAS_RETURN_IF_ERROR(EventLoop::Make(options.clock, &loop));
  out->reset(new IoThread(std::move(options), std::move(loop)));  // NOLINT(*-owning-memory)
  return {};
}

IoThread::IoThread(Options options, std::unique_ptr<EventLoop> loop)
    : options_(std::move(options)),
      loop_(std::move(loop)),
      scratch_(kScratchBytes),
      answers_(&options_.engine->routes()),
      tls_(options_.front->tls),
      random_(static_cast<std::minstd_rand::result_type>(options_.number + 1)) {
  sink_ = std::make_unique<LoopSink>(
      LoopSink::Options{options_.front->max_message_bytes}, options_.engine, options_.clock,
      [this](std::function<void()> drain) { loop_->Post(std::move(drain)); }, options_.interrupted);
  predict_ = std::make_unique<PredictMethods>(sink_.get());
  predict_->AddTo(&methods_);
  answers_.AddTo(&methods_);
  context_ = {options_.front,  options_.clock, loop_.get(), &methods_,
              options_.budget, &tally_,        &pacing_,    scratch_};
  loop_->AfterEachRound([this] { AfterRound(); });
}

IoThread::~IoThread() {
  if (!thread_.joinable()) return;
  loop_->Post([this] {
    ending_ = true;
    connections_.clear();
  });
  thread_.join();
}

void IoThread::Start() {
  thread_ = std::thread([this] { loop_->Run(); });
  pthread_setname_np(thread_.native_handle(), ("maas-io-" + std::to_string(options_.number)).c_str());
}

void IoThread::AfterRound() {
  sink_->Delivered();
  pacing_.AfterRound(sink_->turned_away());
  if (sink_->under_way() > 0) return;
  // Without connections there are no more calls.
  if (drained_ && !idle_) {
    idle_ = true;
    options_.idle();
  }
  if (ending_) loop_->Stop();
}

void IoThread::SetState(std::shared_ptr<const ServingState> state) {
  loop_->Post([this, state = std::move(state)] { answers_.SetState(state); });
}

void IoThread::SetTls(std::shared_ptr<const TlsContext> tls) {
  loop_->Post([this, tls = std::move(tls)] { tls_ = tls; });
}

void IoThread::Refuse() {
  loop_->Post([this] { sink_->Close(); });
}

int64_t IoThread::Age() {
  const int64_t age = options_.front->max_connection_age_ns;
  if (age <= 0) return kNever;
  // Clients that came together must not come back together.
  const int64_t tenth = age / 10;
  return age - tenth + std::uniform_int_distribution<int64_t>(0, 2 * tenth)(random_);
}

void IoThread::Take(FileDescriptor socket, std::string address) {
  tally_.connections.Add(1);
  std::unique_ptr<Transport> transport = tls_ ? tls_->Accept(std::move(socket), std::move(address))
                                              : MakePlainTransport(std::move(socket), std::move(address));
  std::unique_ptr<Connection> connection;
  if (transport && !ending_) {
    connection = std::make_unique<Connection>(&context_, std::move(transport), Age(),
                                              [this](Connection* over, EndReason why) { OnOver(over, why); });
  }
  if (!connection || !connection->Start()) {
    tally_.open.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  Connection* const started = connection.get();
  connections_.emplace(started, std::move(connection));
  if (shutdown_at_ != kNever) started->Shutdown(std::max<int64_t>(0, shutdown_at_ - loop_->Now()));
}

void IoThread::OnOver(Connection* connection, EndReason why) {
  tally_.ended[static_cast<size_t>(why)].Add(1);
  tally_.open.fetch_sub(1, std::memory_order_relaxed);
  connections_.erase(connection);
  CheckDrained();
}

void IoThread::Shutdown(int64_t grace_ns) {
  const int64_t now = loop_->Now();
  shutdown_at_ = std::min({shutdown_at_, InstantAfter(now, grace_ns), kNever - 1});
  for (const auto& [connection, owned] : connections_) connection->Shutdown(shutdown_at_ - now);
  CheckDrained();
}

void IoThread::CheckDrained() {
  if (drained_ || shutdown_at_ == kNever || !connections_.empty()) return;
  drained_ = true;
  options_.drained();
}

}  // namespace maas
