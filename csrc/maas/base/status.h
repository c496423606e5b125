// What went wrong, in gRPC's codes, with the fields that were at fault.
//
// An ok Status is one null pointer; an error owns its text. Errors about a request carry one Violation per
// field; they become google.rpc.BadRequest details at the edge.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace maas {

// The numbers are grpc::StatusCode's.
enum class Code : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
};

struct Violation {
  std::string field;        // A path in the request, such as "inputs[0].shape".
  std::string description;  // What was expected and what came.
};

class Status {
 public:
  Status() = default;  // ok
  // `reason` is google.rpc.ErrorInfo's: UPPER_SNAKE_CASE, stable, for machines.
  Status(Code code, std::string reason, std::string message);

  // An INVALID_ARGUMENT whose message is "field: description".
  static Status Invalid(std::string field, std::string description, std::string reason = "INVALID_REQUEST");

  bool ok() const { return rep_ == nullptr; }
  Code code() const { return rep_ ? rep_->code : Code::kOk; }
  // REQUIRES: !ok() for the rest.
  const std::string& reason() const { return rep_->reason; }
  const std::string& message() const { return rep_->message; }
  const std::vector<Violation>& violations() const { return rep_->violations; }
  // When a retry makes sense; 0 when it does not or nobody knows. Unit: nanoseconds.
  int64_t retry_after_ns() const { return rep_->retry_after_ns; }
  Status&& WithRetryAfter(int64_t ns) &&;

 private:
  struct Rep {
    Code code;
    std::string reason;
    std::string message;
    std::vector<Violation> violations;
    int64_t retry_after_ns = 0;
  };
  // Shared, so that one failure of a run is every request's failure without copies of the text.
  std::shared_ptr<Rep> rep_;
};

}  // namespace maas

// Returns the status from the enclosing function unless it is ok.
#define MAAS_RETURN_IF_ERROR(expr)                       \
  do {                                                   \
    if (::maas::Status s_ = (expr); !s_.ok()) return s_; \
  } while (false)
