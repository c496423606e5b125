// Encodes maas.v1.PredictResponse and PredictStreamAnswer in two phases: the exact size first, then into
// memory that the caller provides, with a hole left for each tensor's data.
//
// Usage:
//   size_t size = PredictResponseSize(head);
//   std::byte* data[n]; WritePredictResponse(head, buffer, data);   // data[i]: where output i's bytes go
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "maas/base/datatype.h"
#include "maas/base/dims.h"
#include "maas/base/status.h"
#include "maas/wire/predict_view.h"

namespace maas {

struct Receipt {
  int64_t queue_ns = 0;
  int64_t run_ns = 0;
  int32_t batch_size = 0;
  int32_t batches = 0;
  int64_t predicted_ns = 0;  // 0: nothing was known.
  int64_t total_ns = 0;
};

struct OutputHead {
  std::string_view name;
  DataType datatype = DataType::kUnspecified;
  Dims shape;
  size_t data_size = 0;                        // Bytes.
  const Quantization* quantization = nullptr;  // Null: not quantized. `axis` counts from the front.
  // Null: the data goes out in the message; else it lies there already and data_size is 0.
  const SharedMemoryView* shared = nullptr;
  size_t shared_size = 0;  // Bytes that were written there.
};

struct ResponseHead {
  std::string_view id;
  std::string_view model;
  int64_t version = 0;
  std::span<const OutputHead> outputs;
  Receipt receipt;
  bool typed = false;  // As in PredictRequestView: `data` was made by Codec::transcode.
};

size_t PredictResponseSize(const ResponseHead& head);
// Writes exactly PredictResponseSize(head) bytes at `out` but for the data of each tensor; data[i] becomes
// the address of head.outputs[i].data_size bytes for the caller to fill. REQUIRES: data has room for all
// outputs.
void WritePredictResponse(const ResponseHead& head, std::byte* out, std::byte** data);

// One `answers` entry of a PredictStreamResponse, its own tag and length included, so that a message is the
// concatenation of entries.
size_t StreamAnswerSize(const ResponseHead& head);
void WriteStreamAnswer(const ResponseHead& head, std::byte* out, std::byte** data);
// The same for a request that failed. REQUIRES: !status.ok().
std::string EncodeStreamError(std::string_view id, const Status& status);

// google.rpc.Status with ErrorInfo (domain "maas") and, where they apply, BadRequest and RetryInfo details:
// what grpc-status-details-bin carries. Text that is not UTF-8 is made so. REQUIRES: !status.ok().
std::string EncodeStatus(const Status& status);

}  // namespace maas
