// The whole core under threads: many submitters, several instances, runs that fail, callers that go away,
// versions that are replaced. Whatever happens, every accepted request is completed exactly once.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"
#include "maas/serving/engine.h"

namespace maas {
namespace {

// One request: it outlives its completion, and knows whether it had one.
struct Asked {
  std::string message;
  std::shared_ptr<Entry> entry;
  float first = 0;
  int64_t rows = 1;
  std::atomic<int> completions{0};
};

// Checks each answer as it comes, then overwrites the request's bytes: nobody may read them any more.
class CheckingSink final : public CompletionSink {
 public:
  void Reserve(std::span<Buffer> buffers) override {
    for (Buffer& buffer : buffers) {
      auto memory = std::make_unique<std::string>(buffer.size, '\0');
      buffer.data = reinterpret_cast<std::byte*>(memory->data());
      buffer.handle = memory.release();
    }
  }
  void Complete(std::span<Completion> done) override {
    for (Completion& completion : done) {
      auto& asked = *static_cast<Asked*>(completion.tag);
      EXPECT_EQ(asked.completions.fetch_add(1), 0);
      const std::unique_ptr<std::string> bytes(static_cast<std::string*>(completion.buffer.handle));
      EXPECT_EQ(completion.status.ok(), bytes != nullptr);
      if (bytes) Check(asked, *bytes);
      std::fill(asked.message.begin(), asked.message.end(), '\xDD');
      ++total;
    }
  }

  std::atomic<int64_t> total{0};
  std::atomic<int64_t> answered{0};

 private:
  void Check(const Asked& asked, const std::string& bytes) {
    const DecodedAnswer answer(bytes);
    const std::vector<float> y = answer.outputs.at(0).Floats();
    ASSERT_EQ(static_cast<int64_t>(y.size()), asked.rows);
    for (size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], 2 * (asked.first + static_cast<float>(i)));
    ++answered;
  }
};

// x counts up from `first`, quantized or not.
std::string MessageFor(const Asked& asked, bool quantized) {
  std::string values;
  for (int64_t row = 0; row < asked.rows; ++row) {
    const float value = asked.first + static_cast<float>(row);
    values += quantized ? BytesOf({static_cast<int8_t>(value)}) : BytesOf({value});
  }
  MessageBuilder tensor = TensorMessage("x", quantized ? 6 : 12, {asked.rows}, values);
  const float scale[] = {1.0F};
  if (quantized) tensor.Message(5, MessageBuilder().Floats(1, scale));
  return RequestFor(tensor).str();
}

std::shared_ptr<Version> NewVersion(int64_t number) {
  OutputSpec y = MakeOutput("y", DataType::kFp32, {-1});
  y.sources = {{0, 0}};
  ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, {-1})}, {y});
  spec.version = number;
  return MakeVersion(std::move(spec), SteadyClock::Get(), 200);
}

// A runner: y = 2x, but some runs fail and some outputs are wrong.
void RunLane(const std::shared_ptr<Version>& version, unsigned seed) {
  std::mt19937 random(seed);
  Instance instance(version);
  while (instance.Next()) {
    const RunPlan& plan = instance.plan();
    const auto* x = reinterpret_cast<const float*>(plan.inputs[0].data);
    auto* y = reinterpret_cast<float*>(plan.outputs[0].data);
    for (int64_t i = 0; i < plan.rows; ++i) y[i] = 2 * x[i];
    const auto luck = random() % 20;
    if (luck == 0) {
      instance.Fail(Status(Code::kInternal, "RUN_FAILED", "unlucky"));
    } else if (luck == 1) {
      instance.Finish({RunOutput{{plan.rows + 1}, plan.outputs[0].data, {}}});
    } else {
      instance.Finish({RunOutput{}});
    }
    instance.Deliver();
  }
}

class EngineStorm : public testing::Test {
 protected:
  void Route(const std::shared_ptr<Version>& version) {
    auto route = std::make_shared<maas::Route>();
    route->versions = {{version->spec.version, version}};
    route->standard = version;
    engine_.routes().Set("m", route);
  }

  void Submit(unsigned seed, int count) {
    std::mt19937 random(seed);
    std::vector<std::shared_ptr<Entry>> mine;
    for (int i = 0; i < count; ++i) {
      auto asked = std::make_unique<Asked>();
      asked->rows = random() % 15 == 0 ? 9 + static_cast<int64_t>(random() % 30)
                                       : 1 + static_cast<int64_t>(random() % 3);
      asked->first = static_cast<float>(random() % 80);
      asked->message = MessageFor(*asked, random() % 3 == 0);
      const int64_t deadline =
          random() % 10 == 0 ? SteadyClock::Get()->Now() + static_cast<int64_t>(random() % 300'000) : kNever;
      std::shared_ptr<Entry> entry;
      const Status status =
          engine_.Submit(AsBytes(asked->message), deadline, {&sink_, asked.get(), 0}, "", &entry);
      if (status.ok()) {
        ++accepted_;
        mine.push_back(std::move(entry));
      } else {
        // Never UNAVAILABLE: each version is closed only after another was routed to.
        EXPECT_TRUE(status.code() == Code::kResourceExhausted || status.code() == Code::kDeadlineExceeded)
            << status.message();
        EXPECT_EQ(asked->completions.load(), 0);
        std::this_thread::yield();
      }
      {
        const std::lock_guard<std::mutex> lock(mu_);
        asked_.push_back(std::move(asked));
      }
      std::vector<Interrupt> interrupts;
      if (!mine.empty() && random() % 4 == 0) engine_.Cancel(mine[random() % mine.size()], &interrupts);
    }
  }

  void ExpectAllCompleted(const std::vector<std::shared_ptr<Version>>& versions) {
    EXPECT_GT(sink_.answered.load(), 0);
    EXPECT_EQ(sink_.total.load(), accepted_.load());
    uint64_t accepted = 0;
    uint64_t ended = 0;
    for (const auto& version : versions) {
      const VersionCounters& c = version->counters;
      accepted += c.accepted;
      ended += c.succeeded + c.failed + c.cancelled + c.expired;
      EXPECT_EQ(version->queue.waiting_rows(), 0);
    }
    EXPECT_EQ(accepted, static_cast<uint64_t>(accepted_.load()));
    EXPECT_EQ(ended, accepted);
  }

  CheckingSink sink_;
  std::atomic<int64_t> accepted_{0};
  std::mutex mu_;
  std::vector<std::unique_ptr<Asked>> asked_;
  Engine engine_{{.sweep_interval_ns = 500'000}, SteadyClock::Get()};
};

TEST_F(EngineStorm, EveryAcceptedRequestIsCompletedOnce) {
  const auto version = NewVersion(1);
  Route(version);
  std::vector<std::thread> lanes;
  for (unsigned i = 0; i < 3; ++i) lanes.emplace_back(RunLane, version, 100 + i);
  std::vector<std::thread> submitters;
  for (unsigned i = 0; i < 4; ++i) submitters.emplace_back([this, i] { Submit(i, 1500); });
  for (std::thread& thread : submitters) thread.join();
  CloseVersion(version.get());
  for (std::thread& thread : lanes) thread.join();
  ExpectAllCompleted({version});
}

TEST_F(EngineStorm, NothingIsLostWhenVersionsAreReplacedUnderLoad) {
  std::vector<std::shared_ptr<Version>> versions{NewVersion(1)};
  Route(versions[0]);
  std::vector<std::thread> lanes;
  lanes.emplace_back(RunLane, versions[0], 7);
  std::vector<std::thread> submitters;
  for (unsigned i = 0; i < 3; ++i) submitters.emplace_back([this, i] { Submit(50 + i, 1500); });
  for (int64_t number = 2; number <= 24; ++number) {
    versions.push_back(NewVersion(number));
    lanes.emplace_back(RunLane, versions.back(), static_cast<unsigned>(number));
    const int64_t before = sink_.total.load();
    Route(versions.back());
    CloseVersion(versions[versions.size() - 2].get());
    if (number % 3 == 0) {
      AbortVersion(versions[versions.size() - 2].get(),
                   Status(Code::kUnavailable, "DRAIN_TIMEOUT", "too late"));
    }
    const int64_t give_up = SteadyClock::Get()->Now() + 20'000'000;
    while (sink_.total.load() < before + 200 && SteadyClock::Get()->Now() < give_up)
      std::this_thread::yield();
  }
  for (std::thread& thread : submitters) thread.join();
  CloseVersion(versions.back().get());
  for (std::thread& thread : lanes) thread.join();
  ExpectAllCompleted(versions);
}

}  // namespace
}  // namespace maas
