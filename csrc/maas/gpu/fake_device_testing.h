// Devices made of ordinary memory: a MaasDeviceApi that does what it is asked late, and fails when it is
// told.
//
// Usage:
//   FakeDevices fake({{.total_bytes = 1 << 20}, {.total_bytes = 1 << 24}});
//   DeviceTable::Make(fake.api(), &table);
//   fake.FailCall(FakeCall::kUpload, 3, MAAS_DEVICE_FAILED);
// What is put on a stream runs when its event is synchronized, when memory or the stream is freed, in
// RunAll(), or one by one in Step(): query() alone never sees progress. Until then an upload has not read its
// pinned memory. Arguments are checked: memory must be of the kind, of the device and as long as the call
// says.
//
// One at a time in a process, as the table has no room for whose it is. Threads: any.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/gpu/device_api.h"
#include "maas/gpu/fake_state_testing.h"
#include "maas/gpu/fake_table_testing.h"

namespace maas {

// What is there at present, made and not freed.
struct FakeInUse {
  size_t pinned = 0;
  size_t memory = 0;
  size_t streams = 0;
  size_t events = 0;
  bool operator==(const FakeInUse&) const = default;
};

class FakeDevices {
 public:
  explicit FakeDevices(const std::vector<FakeDeviceSpec>& specs = std::vector<FakeDeviceSpec>(1)) {
    assert(FakeState::current == nullptr);
    for (const FakeDeviceSpec& spec : specs) state_.devices.emplace_back(spec);
    FakeState::current = &state_;
  }
  // What was not freed is freed, and what was put on a stream is dropped.
  ~FakeDevices() { FakeState::current = nullptr; }
  FakeDevices(const FakeDevices&) = delete;
  FakeDevices& operator=(const FakeDevices&) = delete;

  const MaasDeviceApi* api() const { return &kFakeTable; }

  // The nth call of a function from now on, 1 is the next, fails with `code` and does nothing else. What
  // frees does so nevertheless. MAAS_DEVICE_LOST: the device is lost.
  void FailCall(FakeCall call, int nth, MaasDeviceCode code, int32_t device = 0) {
    MutexLock lock(&state_.mu);
    state_.plans.push_back({call, device, nth, code});
  }
  // The nth call of one that begins something succeeds; when it runs, the device is lost.
  void LoseWhenRun(FakeCall call, int nth, int32_t device = 0) {
    assert(call >= FakeCall::kUpload);
    MutexLock lock(&state_.mu);
    state_.plans.push_back({call, device, nth, MAAS_DEVICE_OK});
  }
  void FailCount(MaasDeviceCode code) {
    MutexLock lock(&state_.mu);
    state_.count_code = code;
  }
  void Lose(int32_t device, std::string why) {
    MutexLock lock(&state_.mu);
    state_.Lose(&At(device), std::move(why));
  }

  // From now on who waits, or frees, does so until Resume(), or until Step() brought what it waits for.
  void Pause(int32_t device = 0) {
    MutexLock lock(&state_.mu);
    At(device).paused = true;
  }
  void Resume(int32_t device = 0) {
    MutexLock lock(&state_.mu);
    At(device).paused = false;
    state_.changed.SignalAll();
  }
  // Runs what is next on a stream, which goes by its native name. False: there is nothing, or it waits for
  // another stream.
  bool Step(uint64_t native, int32_t device = 0) {
    MutexLock lock(&state_.mu);
    const bool ran = At(device).streams.at(native).Step();
    state_.changed.SignalAll();
    return ran;
  }
  void RunAll(int32_t device = 0) {
    MutexLock lock(&state_.mu);
    At(device).RunAll();
    state_.changed.SignalAll();
  }
  // What was put on a stream and has not run.
  size_t Pending(uint64_t native, int32_t device = 0) {
    MutexLock lock(&state_.mu);
    return At(device).streams.at(native).pending();
  }

  FakeInUse InUse(int32_t device = 0) {
    MutexLock lock(&state_.mu);
    const FakeDevice& it = At(device);
    return {it.pinned.pieces(), it.memory.pieces(), it.streams.size(), it.events.size()};
  }
  // Calls of a function so far, also those that failed.
  int Calls(FakeCall call, int32_t device = 0) {
    MutexLock lock(&state_.mu);
    return At(device).calls[static_cast<size_t>(call)];
  }
  // Threads that wait at present.
  int Waiting() {
    MutexLock lock(&state_.mu);
    return state_.waiting;
  }

 private:
  FakeDevice& At(int32_t device) { return state_.devices.at(static_cast<size_t>(device)); }

  FakeState state_;
};

}  // namespace maas
