#include "maas/base/status.h"

namespace maas {

Status::Status(Code code, std::string reason, std::string message)
    : rep_(std::make_shared<Rep>(Rep{code, std::move(reason), std::move(message), {}, 0})) {}

Status Status::Invalid(std::string field, std::string description, std::string reason) {
  Status status(Code::kInvalidArgument, std::move(reason), field + ": " + description);
  status.rep_->violations.push_back({std::move(field), std::move(description)});
  return status;
}

Status&& Status::WithRetryAfter(int64_t ns) && {
  rep_->retry_after_ns = ns;
  return std::move(*this);
}

}  // namespace maas
