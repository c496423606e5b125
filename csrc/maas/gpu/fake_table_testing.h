// The functions of the table of fake devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "maas/gpu/device_api.h"
#include "maas/gpu/fake_move_testing.h"
#include "maas/gpu/fake_state_testing.h"

namespace maas::fake_table {

inline int Count(int32_t* count) {
  FakeState* const state = FakeState::current;
  MutexLock lock(&state->mu);
  *count = static_cast<int32_t>(state->devices.size());
  if (state->count_code != MAAS_DEVICE_OK) FakeState::message = "as planned";
  return state->count_code;
}

inline int Info(int32_t device, MaasDeviceInfo* info) {
  FakeEntry entry(FakeCall::kInfo, device);
  if (entry.failed()) return entry.code();
  *info = {};
  std::snprintf(info->name, sizeof(info->name), "Fake %d", static_cast<int>(device));
  std::snprintf(info->bus_id, sizeof(info->bus_id), "0000:%02x:00.0", static_cast<unsigned>(device + 1));
  info->compute_major = entry->spec.compute_major;
  info->compute_minor = entry->spec.compute_minor;
  info->multiprocessors = 1;
  info->total_bytes = entry->spec.total_bytes;
  info->free_bytes = entry->memory.Available();
  return entry.code();
}

inline const char* Message() { return FakeState::message.c_str(); }

inline int AllocateIn(FakeEntry* entry, FakeMemory* memory, size_t bytes, void** out) {
  *out = memory->Allocate(bytes);
  if (*out != nullptr) return entry->code();
  return entry->Fail(MAAS_DEVICE_NO_MEMORY,
                     "out of memory: " + std::to_string(memory->Available()) + " bytes are free");
}
inline int FreeIn(FakeEntry* entry, FakeMemory* memory, void* freed) {
  entry->RunAll();
  return memory->Release(freed) ? entry->code()
                                : entry->Invalid("no memory of this device and kind begins there");
}

inline int AllocatePinned(int32_t device, size_t bytes, void** memory) {
  FakeEntry entry(FakeCall::kAllocatePinned, device);
  return entry.failed() ? entry.code() : AllocateIn(&entry, &entry->pinned, bytes, memory);
}
inline int Allocate(int32_t device, size_t bytes, void** memory) {
  FakeEntry entry(FakeCall::kAllocate, device);
  return entry.failed() ? entry.code() : AllocateIn(&entry, &entry->memory, bytes, memory);
}
// What frees does so also where it fails.
inline int FreePinned(int32_t device, void* memory) {
  FakeEntry entry(FakeCall::kFreePinned, device);
  return entry.found() ? FreeIn(&entry, &entry->pinned, memory) : entry.code();
}
inline int Release(int32_t device, void* memory) {
  FakeEntry entry(FakeCall::kRelease, device);
  return entry.found() ? FreeIn(&entry, &entry->memory, memory) : entry.code();
}

inline int MakeStream(int32_t device, int32_t /*priority*/, MaasStreamHandle* stream) {
  FakeEntry entry(FakeCall::kMakeStream, device);
  if (entry.failed()) return entry.code();
  const uint64_t handle = ++entry->last_handle;
  entry->streams.try_emplace(handle, &entry->progress);
  *stream = reinterpret_cast<MaasStreamHandle>(handle);
  return entry.code();
}
inline int FreeStream(int32_t device, MaasStreamHandle stream) {
  FakeEntry entry(FakeCall::kFreeStream, device);
  if (!entry.found()) return entry.code();
  if (entry.Find(stream) == nullptr) return entry.Invalid("no stream of this device");
  entry.RunAll();
  entry->streams.erase(reinterpret_cast<uintptr_t>(stream));
  return entry.code();
}
inline int NativeStream(int32_t device, MaasStreamHandle stream, uint64_t* native) {
  FakeEntry entry(FakeCall::kNativeStream, device);
  if (entry.failed()) return entry.code();
  if (entry.Find(stream) == nullptr) return entry.Invalid("no stream of this device");
  *native = reinterpret_cast<uintptr_t>(stream);
  return entry.code();
}

inline int MakeEvent(int32_t device, int32_t timed, MaasEventHandle* event) {
  FakeEntry entry(FakeCall::kMakeEvent, device);
  if (entry.failed()) return entry.code();
  const uint64_t handle = ++entry->last_handle;
  entry->events[handle].timed = timed != 0;
  *event = reinterpret_cast<MaasEventHandle>(handle);
  return entry.code();
}
inline int FreeEvent(int32_t device, MaasEventHandle event) {
  FakeEntry entry(FakeCall::kFreeEvent, device);
  if (!entry.found()) return entry.code();
  if (entry.Find(event) == nullptr) return entry.Invalid("no event of this device");
  entry->events.erase(reinterpret_cast<uintptr_t>(event));
  return entry.code();
}
inline int Record(int32_t device, MaasEventHandle event, MaasStreamHandle stream) {
  FakeEntry entry(FakeCall::kRecord, device);
  if (entry.failed()) return entry.code();
  FakeStream* const on = entry.Find(stream);
  FakeEvent* const recorded = entry.Find(event);
  if (on == nullptr || recorded == nullptr) return entry.Invalid("no stream or event of this device");
  recorded->point = on->PutPoint();
  return entry.code();
}
inline int Wait(int32_t device, MaasStreamHandle stream, MaasEventHandle event) {
  FakeEntry entry(FakeCall::kWait, device);
  if (entry.failed()) return entry.code();
  FakeStream* const on = entry.Find(stream);
  const FakeEvent* const waited = entry.Find(event);
  if (on == nullptr || waited == nullptr) return entry.Invalid("no stream or event of this device");
  if (waited->point) on->PutWait(waited->point);
  return entry.code();
}
inline int Query(int32_t device, MaasEventHandle event) {
  FakeEntry entry(FakeCall::kQuery, device);
  if (entry.failed()) return entry.code();
  const FakeEvent* const queried = entry.Find(event);
  if (queried == nullptr) return entry.Invalid("no event of this device");
  return queried->point && !queried->point->reached ? entry.Fail(MAAS_DEVICE_NOT_READY, "not ready")
                                                    : entry.code();
}
inline int Synchronize(int32_t device, MaasEventHandle event) {
  FakeEntry entry(FakeCall::kSynchronize, device);
  if (entry.failed()) return entry.code();
  const FakeEvent* const awaited = entry.Find(event);
  if (awaited == nullptr) return entry.Invalid("no event of this device");
  // A copy: while it waits, the event may be recorded again.
  const std::shared_ptr<FakePoint> point = awaited->point;
  return point ? entry.RunTo(point) : entry.code();
}
inline int Elapsed(int32_t device, MaasEventHandle from, MaasEventHandle to, float* milliseconds) {
  FakeEntry entry(FakeCall::kElapsed, device);
  if (entry.failed()) return entry.code();
  const FakeEvent* const begin = entry.Find(from);
  const FakeEvent* const end = entry.Find(to);
  if (begin == nullptr || end == nullptr || !begin->timed || !end->timed || !begin->point || !end->point) {
    return entry.Invalid("not two timed and recorded events of this device");
  }
  if (!begin->point->reached || !end->point->reached) return entry.Fail(MAAS_DEVICE_NOT_READY, "not ready");
  *milliseconds = static_cast<float>(end->point->at_ns - begin->point->at_ns) * 1e-6F;
  return entry.code();
}

inline int Upload(int32_t device, MaasStreamHandle stream, void* to, const void* pinned, size_t bytes) {
  FakeEntry entry(FakeCall::kUpload, device);
  if (entry.failed()) return entry.code();
  if (!entry->memory.Holds(to, bytes)) return entry.Invalid("it uploads to what is no memory of the device");
  if (!entry->pinned.Holds(pinned, bytes)) return entry.Invalid("it uploads from what is not pinned");
  return entry.Put(stream, [=] { std::memcpy(to, pinned, bytes); });
}
inline int Download(int32_t device, MaasStreamHandle stream, void* pinned, const void* from, size_t bytes) {
  FakeEntry entry(FakeCall::kDownload, device);
  if (entry.failed()) return entry.code();
  if (!entry->pinned.Holds(pinned, bytes)) return entry.Invalid("it downloads to what is not pinned");
  if (!entry->memory.Holds(from, bytes)) return entry.Invalid("it downloads what is no memory of the device");
  return entry.Put(stream, [=] { std::memcpy(pinned, from, bytes); });
}
inline int Copy(int32_t device, MaasStreamHandle stream, void* to, const void* from, size_t bytes) {
  FakeEntry entry(FakeCall::kCopy, device);
  if (entry.failed()) return entry.code();
  if (!entry->memory.Holds(to, bytes) || !entry->memory.Holds(from, bytes)) {
    return entry.Invalid("it copies to or from what is no memory of the device");
  }
  return entry.Put(stream, [=] { std::memmove(to, from, bytes); });
}
inline int Clear(int32_t device, MaasStreamHandle stream, void* to, size_t bytes) {
  FakeEntry entry(FakeCall::kClear, device);
  if (entry.failed()) return entry.code();
  if (!entry->memory.Holds(to, bytes)) return entry.Invalid("it clears what is no memory of the device");
  return entry.Put(stream, [=] { std::memset(to, 0, bytes); });
}
inline int Move(int32_t device, MaasStreamHandle stream, const MaasSegment* segments, uint32_t count,
                uint32_t tiles, const void* params, const void* from, void* to) {
  FakeEntry entry(FakeCall::kMove, device);
  if (entry.failed()) return entry.code();
  if (count == 0 || !entry->memory.Holds(segments, uint64_t{count} * sizeof(MaasSegment))) {
    return entry.Invalid("its segments are no memory of the device");
  }
  return entry.Put(stream, [=, lost = entry.Loser(), memory = &entry->memory] {
    const std::string wrong = RunFakeMove({segments, count, tiles, params, from, to}, *memory);
    if (!wrong.empty()) lost(wrong);
  });
}

}  // namespace maas::fake_table

namespace maas {

inline constexpr MaasDeviceApi kFakeTable = {
    .version = MAAS_DEVICE_API_VERSION,
    .size = sizeof(MaasDeviceApi),
    .count = fake_table::Count,
    .info = fake_table::Info,
    .message = fake_table::Message,
    .allocate_pinned = fake_table::AllocatePinned,
    .free_pinned = fake_table::FreePinned,
    .allocate = fake_table::Allocate,
    .release = fake_table::Release,
    .make_stream = fake_table::MakeStream,
    .free_stream = fake_table::FreeStream,
    .native_stream = fake_table::NativeStream,
    .make_event = fake_table::MakeEvent,
    .free_event = fake_table::FreeEvent,
    .record = fake_table::Record,
    .wait = fake_table::Wait,
    .query = fake_table::Query,
    .synchronize = fake_table::Synchronize,
    .elapsed = fake_table::Elapsed,
    .upload = fake_table::Upload,
    .download = fake_table::Download,
    .copy = fake_table::Copy,
    .clear = fake_table::Clear,
    .move = fake_table::Move,
};

}  // namespace maas
