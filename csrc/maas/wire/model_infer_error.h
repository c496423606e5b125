// Errors of the Open Inference Protocol as clients of Triton know them.
//
// Some of those tell "not found" from other failures by the text, so the sentence that they know comes first
// and ours after it; code, reason and the rest stay.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maas/base/status.h"

namespace maas {

// The reasons that say that a model, or a version of it, does not serve.
std::vector<std::string_view> NotServingReasons();
bool IsNotServing(std::string_view reason);

// What clients of Triton look for. Empty: no sentence is about that. `version`: as the request has it.
std::string TritonPhrase(std::string_view reason, std::string_view model, std::string_view version);

// The names in a ModelInferRequest; they view its bytes.
struct ModelInferNames {
  std::string_view model;
  std::string_view version;
  std::string_view id;
};

// All empty when the request is malformed, or one of them is not UTF-8.
ModelInferNames PeekModelInferNames(std::span<const std::byte> message);

// The status with the phrase before its own text, if there is one. REQUIRES: !status.ok().
Status WithTritonPhrase(const Status& status, const ModelInferNames& names);

// A ModelStreamInferResponse for a request that failed, marked as the last answer to it. Names too long to be
// right are left out: an error must not be as large as what it refuses. REQUIRES: !status.ok().
std::string EncodeModelStreamInferError(const Status& status, const ModelInferNames& names);

}  // namespace maas
