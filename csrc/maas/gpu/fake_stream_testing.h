// Streams of a fake device: queues in which nothing happens until somebody makes it.
//
// Who waits for a point runs what is before it, on its own stream and on those that this one waits for, and
// nothing else. So an order that no event enforces does not happen by chance.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

namespace maas {

class FakeStream;

// A place in a stream that an event stands for.
struct FakePoint {
  // Not owned; asked only while the point is not reached, and a stream that is freed reaches all of its own.
  FakeStream* stream = nullptr;
  bool reached = false;
  int64_t at_ns = 0;  // On the device's clock, when it was reached.
};

// Null: never recorded.
struct FakeEvent {
  bool timed = false;
  std::shared_ptr<FakePoint> point;
};

// What one device's streams share.
struct FakeProgress {
  // What each operation takes on the device's own clock.
  static constexpr int64_t kOperationNs = 1000;

  bool lost = false;
  int64_t now_ns = 0;
};

class FakeStream {
 public:
  // `progress` is not owned and outlives this.
  explicit FakeStream(FakeProgress* progress) : progress_(progress) {}

  void Put(std::function<void()> work) { operations_.push_back({std::move(work), nullptr, nullptr}); }
  void PutWait(std::shared_ptr<FakePoint> point) { operations_.push_back({{}, std::move(point), nullptr}); }
  std::shared_ptr<FakePoint> PutPoint() {
    operations_.push_back({{}, nullptr, std::make_shared<FakePoint>(FakePoint{this, false, 0})});
    return operations_.back().reaches;
  }
  size_t pending() const { return operations_.size(); }

  // Runs what is next. False: there is nothing, or it waits for a point that was not reached.
  bool Step() {
    if (progress_->lost || operations_.empty()) return false;
    if (operations_.front().waits_for && !operations_.front().waits_for->reached) return false;
    const Operation operation = std::move(operations_.front());
    operations_.pop_front();
    if (operation.work) {
      progress_->now_ns += FakeProgress::kOperationNs;
      operation.work();
    }
    if (operation.reaches) {
      operation.reaches->at_ns = progress_->now_ns;
      operation.reaches->reached = true;
    }
    return true;
  }
  // Runs everything up to a point of it. The device may be lost on the way, and the point is not reached
  // then. Ends, because whatever is waited for was put on its stream before the wait.
  void RunTo(const FakePoint& point) {
    while (!point.reached && !progress_->lost) RunNext();
  }
  void RunAll() {
    while (!operations_.empty() && !progress_->lost) RunNext();
  }

 private:
  struct Operation {
    std::function<void()> work;
    std::shared_ptr<FakePoint> waits_for;
    std::shared_ptr<FakePoint> reaches;
  };
  void RunNext() {
    const std::shared_ptr<FakePoint> first = operations_.front().waits_for;
    if (first && !first->reached) first->stream->RunTo(*first);
    Step();
  }

  FakeProgress* const progress_;
  std::deque<Operation> operations_;
};

}  // namespace maas
