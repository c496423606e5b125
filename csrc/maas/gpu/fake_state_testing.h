// What is behind the table of fake devices: the devices, what they are to fail at, and one lock for all of
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/gpu/device_api.h"
#include "maas/gpu/fake_memory_testing.h"
#include "maas/gpu/fake_stream_testing.h"

namespace maas {

// A function of the table that is asked of one device.
enum class FakeCall : uint8_t {
  kInfo,
  kAllocatePinned,
  kFreePinned,
  kAllocate,
  kRelease,
  kMakeStream,
  kFreeStream,
  kNativeStream,
  kMakeEvent,
  kFreeEvent,
  kRecord,
  kWait,
  kQuery,
  kSynchronize,
  kElapsed,
  kUpload,
  kDownload,
  kCopy,
  kClear,
  kMove,
};
inline constexpr size_t kFakeCalls = static_cast<size_t>(FakeCall::kMove) + 1;

struct FakeDeviceSpec {
  uint64_t total_bytes = uint64_t{1} << 30;
  uint64_t used_bytes = 0;  // By other processes.
  uint64_t pinned_bytes = uint64_t{1} << 30;
  int32_t compute_major = 8;
  int32_t compute_minor = 6;
};

struct FakeDevice {
  explicit FakeDevice(const FakeDeviceSpec& s)
      : spec(s), memory(s.total_bytes - s.used_bytes), pinned(s.pinned_bytes) {}

  // The last stream first: whatever no event forbids may happen.
  void RunAll() {
    for (auto it = streams.rbegin(); it != streams.rend(); ++it) it->second.RunAll();
  }

  const FakeDeviceSpec spec;
  FakeMemory memory;
  FakeMemory pinned;
  FakeProgress progress;
  std::string why;  // It was lost.
  bool paused = false;
  // By handle, which is also what they are called natively. Never used twice.
  std::map<uint64_t, FakeStream> streams;
  std::map<uint64_t, FakeEvent> events;
  uint64_t last_handle = 0;
  std::array<int, kFakeCalls> calls = {};
};

struct FakePlan {
  FakeCall call = FakeCall::kInfo;
  int32_t device = 0;
  int remaining = 0;          // Calls, that which fails included.
  int code = MAAS_DEVICE_OK;  // MAAS_DEVICE_OK: it succeeds, and the device is lost when it runs.
};

// Everything with `mu` held.
struct FakeState {
  void Lose(FakeDevice* device, std::string reason) {
    if (!device->progress.lost) device->why = std::move(reason);
    device->progress.lost = true;
    changed.SignalAll();
  }

  Mutex mu;
  CondVar changed;
  std::deque<FakeDevice> devices;
  std::vector<FakePlan> plans;
  int count_code = MAAS_DEVICE_OK;  // What count() returns.
  int waiting = 0;                  // Threads in synchronize() and in what frees, while a device is paused.

  // Null: there is none in the process.
  static inline FakeState* current = nullptr;
  // Of the calling thread's last failure.
  static inline thread_local std::string message;
};

// One call of a function of the table: counted, failed as told, and with everything to itself.
class FakeEntry {
 public:
  FakeEntry(FakeCall call, int32_t device) : state_(FakeState::current), lock_(&state_->mu) {
    if (device < 0 || device >= static_cast<int32_t>(state_->devices.size())) {
      Fail(MAAS_DEVICE_INVALID, "there is no device " + std::to_string(device));
      return;
    }
    device_ = &state_->devices[static_cast<size_t>(device)];
    ++device_->calls[static_cast<size_t>(call)];
    FollowPlans(call, device);
    if (device_->progress.lost) FailAsLost();
  }
  FakeDevice* operator->() const { return device_; }
  // False: there is no such device.
  bool found() const { return device_ != nullptr; }
  bool failed() const { return code_ != MAAS_DEVICE_OK; }
  int code() const { return code_; }
  int Fail(int code, std::string why) {
    FakeState::message = std::move(why);
    return code_ = code;
  }
  int Invalid(std::string why) { return Fail(MAAS_DEVICE_INVALID, std::move(why)); }
  int FailAsLost() { return Fail(MAAS_DEVICE_LOST, device_->why); }

  // Null: not one of the device's.
  FakeStream* Find(MaasStreamHandle stream) { return FindIn(&device_->streams, stream); }
  FakeEvent* Find(MaasEventHandle event) { return FindIn(&device_->events, event); }

  // What work calls that meets an illegal address, and the like.
  std::function<void(std::string)> Loser() {
    return [state = state_, device = device_](std::string why) { state->Lose(device, std::move(why)); };
  }
  int Put(MaasStreamHandle stream, std::function<void()> work) {
    FakeStream* const found = Find(stream);
    if (found == nullptr) return Invalid("no stream of this device");
    if (lose_when_run_) work = [lose = Loser()] { lose("as planned"); };
    found->Put(std::move(work));
    return code_;
  }
  // As who waits and who frees does.
  int RunTo(const std::shared_ptr<FakePoint>& point) {
    WaitWhilePaused([&] { return point->reached; });
    if (!point->reached) point->stream->RunTo(*point);
    return device_->progress.lost ? FailAsLost() : code_;
  }
  void RunAll() {
    WaitWhilePaused([] { return false; });
    device_->RunAll();
  }

 private:
  void FollowPlans(FakeCall call, int32_t device) {
    for (size_t i = 0; i < state_->plans.size();) {
      FakePlan& plan = state_->plans[i];
      if (plan.call != call || plan.device != device || --plan.remaining > 0) {
        ++i;
        continue;
      }
      if (plan.code == MAAS_DEVICE_LOST) {
        state_->Lose(device_, "as planned");
      } else if (plan.code == MAAS_DEVICE_OK) {
        lose_when_run_ = true;
      } else {
        Fail(plan.code, "as planned");
      }
      state_->plans.erase(state_->plans.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  template <typename T, typename Handle>
  static T* FindIn(std::map<uint64_t, T>* all, Handle handle) {
    const auto it = all->find(reinterpret_cast<uintptr_t>(handle));
    return it == all->end() ? nullptr : &it->second;
  }
  // Not analysed: that lock_ holds the mutex is more than the analysis sees.
  template <typename Done>
  void WaitWhilePaused(Done done) MAAS_NO_THREAD_SAFETY_ANALYSIS {
    ++state_->waiting;
    while (device_->paused && !device_->progress.lost && !done()) state_->changed.Wait(&state_->mu);
    --state_->waiting;
  }

  FakeState* const state_;
  MutexLock lock_;
  FakeDevice* device_ = nullptr;
  int code_ = MAAS_DEVICE_OK;
  bool lose_when_run_ = false;
};

}  // namespace maas
