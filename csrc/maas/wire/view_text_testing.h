// Renders a decoded request as protobuf's text format does, to compare it with what protobuf itself decoded.
#pragma once

#include <array>
#include <charconv>
#include <span>
#include <string>
#include <string_view>

#include "maas/wire/predict_view.h"

namespace maas {

class ViewText {
 public:
  static std::string Of(const PredictRequestView& view, int indent = 0) {
    ViewText text(indent);
    text.Request(view);
    return std::move(text.out_);
  }

 private:
  explicit ViewText(int indent) : indent_(indent) {}

  void Request(const PredictRequestView& view) {
    String("id", view.id);
    String("model", view.model);
    if (view.version != 0) Field("version", std::to_string(view.version));
    String("label", view.label);
    for (const TensorView& tensor : view.inputs) {
      Open("inputs");
      String("name", tensor.name);
      Type(tensor.datatype);
      for (int64_t d : tensor.shape) Field("shape", std::to_string(d));
      String("data", {reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()}, true);
      if (tensor.quantization != nullptr) {
        Open("quantization");
        Params(*tensor.quantization);
        Close();
      }
      Close();
    }
    for (const RequestedOutputView& output : view.outputs) {
      Open("outputs");
      String("name", output.name);
      if (output.quantize != nullptr) {
        Open("quantize");
        Type(output.quantize->datatype);
        Params(output.quantize->params);
        Close();
      }
      Close();
    }
    if (view.timeout_us != 0) Field("timeout_us", std::to_string(view.timeout_us));
    if (view.priority != 0) Field("priority", std::to_string(view.priority));
  }

  void Params(const Quantization& q) {
    for (float scale : q.scales) Field("scales", Float(scale));
    for (int32_t zero_point : q.zero_points) Field("zero_points", std::to_string(zero_point));
    if (q.has_axis) Field("axis", std::to_string(q.axis));
  }

  void Type(DataType type) {
    if (type != DataType::kUnspecified) Field("datatype", Name(type));
  }

  static std::string Float(float value) {
    std::array<char, 32> buffer;
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    std::string text(buffer.data(), result.ptr);
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }

  void String(std::string_view name, std::string_view value, bool binary = false) {
    if (value.empty()) return;
    std::string quoted = "\"";
    for (char c : value) {
      const bool in_utf8 = !binary && static_cast<unsigned char>(c) >= 0x80;
      in_utf8 ? quoted.push_back(c) : Escape(c, &quoted);
    }
    Field(name, quoted + '"');
  }

  static void Escape(char c, std::string* out) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      *out += "\\n";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (c == '"' || c == '\'' || c == '\\') {
      *out += {'\\', c};
    } else if (byte < 0x20 || byte >= 0x7f) {
      *out += {'\\', static_cast<char>('0' + byte / 64), static_cast<char>('0' + byte / 8 % 8),
               static_cast<char>('0' + byte % 8)};
    } else {
      *out += c;
    }
  }

  void Line(std::string_view text) { out_.append(static_cast<size_t>(indent_), ' ').append(text) += '\n'; }
  void Field(std::string_view name, std::string_view value) {
    Line(std::string(name) + ": " + std::string(value));
  }
  void Open(std::string_view name) {
    Line(std::string(name) + " {");
    indent_ += 2;
  }
  void Close() {
    indent_ -= 2;
    Line("}");
  }

  std::string out_;
  int indent_;
};

}  // namespace maas
