#include "maas/front/answers.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "maas/front/message.h"
#include "maas/wire/decoding.h"
#include "maas/wire/utf8.h"

namespace maas {
namespace {

// The text fields 1 and 2 of a short request. False: its receiver has something to say about it.
bool ReadTexts(const Chunk& request, std::string_view* first, std::string_view* second) {
  Reader in(request.bytes());
  while (!in.done()) {
    uint32_t tag;
    std::span<const std::byte> text;
    if (!in.ReadTag(&tag)) return false;
    if (tag != BytesTag(1) && tag != BytesTag(2)) {
      if (!in.Skip(tag)) return false;
      continue;
    }
    if (!in.ReadBytes(&text) || !IsUtf8(AsText(text))) return false;
    *(tag == BytesTag(1) ? first : second) = AsText(text);
  }
  return true;
}

// A version as requests name it: by number or by label. False: it is neither.
bool ParseVersion(std::string_view text, int64_t* number, std::string_view* label) {
  constexpr size_t kMostDigits = 19;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    *label = text;
    return true;
  }
  if (text.empty()) return true;
  if (text.size() > kMostDigits) return false;
  return std::from_chars(text.data(), text.data() + text.size(), *number).ec == std::errc() && *number > 0;
}

// Asked with up to two texts, answered with one number in field 1; nullopt: somebody else is to answer.
class AnswerMethod : public UnaryMethod {
 public:
  explicit AnswerMethod(const std::shared_ptr<const ServingState>* state) : state_(state) {}
  AnswerMethod(const AnswerMethod&) = delete;
  AnswerMethod& operator=(const AnswerMethod&) = delete;

  bool hands_over() const final { return true; }
  void OnCancelled(ServerCall*) final {}

  void OnRequest(ServerCall* call, Chunk request) final {
    std::string_view first;
    std::string_view second;
    std::optional<uint8_t> answer;
    if (*state_ != nullptr && ReadTexts(request, &first, &second)) answer = Answer(**state_, first, second);
    if (!answer) return call->HandOver(std::move(request));
    const char message[] = {1 << 3, static_cast<char>(*answer)};
    Chunk chunk;
    // A zero is not written.
    if (!MakeMessage({message, *answer == 0 ? 0 : sizeof(message)}, &chunk)) return call->Fail(NoMemory());
    call->Answer(std::move(chunk));
  }

 protected:
  ~AnswerMethod() override = default;
  // REQUIRES of what it returns: below 128.
  virtual std::optional<uint8_t> Answer(const ServingState& state, std::string_view first,
                                        std::string_view second) = 0;

 private:
  const std::shared_ptr<const ServingState>* const state_;
};

class ServerLive final : public AnswerMethod {
 public:
  using AnswerMethod::AnswerMethod;

 private:
  std::optional<uint8_t> Answer(const ServingState&, std::string_view, std::string_view) override {
    return uint8_t{1};
  }
};

class ServerReady final : public AnswerMethod {
 public:
  using AnswerMethod::AnswerMethod;

 private:
  std::optional<uint8_t> Answer(const ServingState& state, std::string_view, std::string_view) override {
    return uint8_t{state.ready};
  }
};

class ModelReady final : public AnswerMethod {
 public:
  ModelReady(const std::shared_ptr<const ServingState>* state, const Routes* routes)
      : AnswerMethod(state), routes_(routes) {}

 private:
  // Why a model is not ready, and whether that is an error, is for those who know all versions.
  std::optional<uint8_t> Answer(const ServingState&, std::string_view name,
                                std::string_view version) override {
    int64_t number = 0;
    std::string_view label;
    std::shared_ptr<Version> serving;
    if (routes_ == nullptr || !ParseVersion(version, &number, &label)) return std::nullopt;
    if (!routes_->Find(name, number, label, &serving).ok()) return std::nullopt;
    return uint8_t{1};
  }

  const Routes* const routes_;
};

class HealthCheck final : public AnswerMethod {
 public:
  using AnswerMethod::AnswerMethod;

 private:
  static constexpr uint8_t kServing = 1;
  static constexpr uint8_t kNotServing = 2;

  std::optional<uint8_t> Answer(const ServingState& state, std::string_view service,
                                std::string_view) override {
    const auto found = state.health.find(service);
    if (found == state.health.end()) return std::nullopt;
    return found->second ? kServing : kNotServing;
  }
};

}  // namespace

struct AnswerMethods::Methods {
  explicit Methods(const Routes* routes) : model_ready(&state, routes) {}

  std::shared_ptr<const ServingState> state;
  ServerLive live{&state};
  ServerReady ready{&state};
  ModelReady model_ready;
  HealthCheck health{&state};
};

AnswerMethods::AnswerMethods(const Routes* routes) : methods_(std::make_unique<Methods>(routes)) {}

AnswerMethods::~AnswerMethods() = default;

void AnswerMethods::AddTo(MethodTable* table) {
  table->Add("/inference.GRPCInferenceService/ServerLive", {&methods_->live, nullptr});
  table->Add("/inference.GRPCInferenceService/ServerReady", {&methods_->ready, nullptr});
  table->Add("/inference.GRPCInferenceService/ModelReady", {&methods_->model_ready, nullptr});
  table->Add("/grpc.health.v1.Health/Check", {&methods_->health, nullptr});
}

void AnswerMethods::SetState(std::shared_ptr<const ServingState> state) {
  methods_->state = std::move(state);
}

}  // namespace maas
