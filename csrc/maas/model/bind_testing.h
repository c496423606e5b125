// Specs and decoded requests for tests, built in a line.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/model/bind.h"

namespace maas {

inline InputSpec MakeInput(std::string name, DataType datatype, std::vector<int64_t> dims,
                           int batch_axis = 0) {
  InputSpec input;
  input.name = std::move(name);
  input.datatype = datatype;
  input.dims = std::move(dims);
  input.batch_axis = batch_axis;
  return input;
}

// One whose axis 1 is padded in group 0.
inline InputSpec MakePadded(std::string name, AutoFill auto_fill = AutoFill::kNone) {
  InputSpec input = MakeInput(std::move(name), DataType::kInt64, {-1, -1});
  input.pad_group = 0;
  input.pad_axis = 1;
  input.auto_fill = auto_fill;
  return input;
}

inline OutputSpec MakeOutput(std::string name, DataType datatype, std::vector<int64_t> dims) {
  OutputSpec output;
  output.name = std::move(name);
  output.datatype = datatype;
  output.sources.resize(dims.size());
  output.dims = std::move(dims);
  output.batch_axis = 0;
  return output;
}

inline ModelSpec MakeSpec(std::vector<InputSpec> inputs,
                          std::vector<OutputSpec> outputs = {MakeOutput("y", DataType::kFp32, {-1, 4})}) {
  ModelSpec spec;
  spec.name.push_back('m');
  spec.version = 1;
  spec.inputs = std::move(inputs);
  spec.outputs = std::move(outputs);
  spec.max_batch_size = 8;
  spec.max_request_rows = 64;
  return spec;
}

// A request that owns its payloads.
class TestRequest {
 public:
  // With as many zero bytes as datatype and shape say.
  TestRequest& Add(std::string_view name, DataType datatype, const Dims& shape) {
    const auto count = static_cast<size_t>(ElementCount(shape));
    return Add(name, datatype, shape, std::string(count * ElementSize(datatype), '\0'));
  }
  TestRequest& Add(std::string_view name, DataType datatype, const Dims& shape, std::string data) {
    payloads_.push_back(std::make_unique<std::string>(std::move(data)));
    TensorView& tensor = view_.inputs.emplace_back();
    tensor.name = name;
    tensor.datatype = datatype;
    tensor.shape = shape;
    tensor.data = std::as_bytes(std::span(*payloads_.back()));
    return *this;
  }
  // Of the input added last.
  TestRequest& Quantized(Quantization quantization) {
    view_.inputs.back().quantization = std::make_unique<Quantization>(std::move(quantization));
    return *this;
  }
  TestRequest& Want(std::string_view name) {
    view_.outputs.emplace_back().name = name;
    return *this;
  }
  TestRequest& Want(std::string_view name, OutputQuantization quantize) {
    Want(name);
    view_.outputs.back().quantize = std::make_unique<OutputQuantization>(std::move(quantize));
    return *this;
  }

  // The error's message, empty when it binds. To be called once.
  std::string Bind(const ModelSpec& spec, BoundRequest* out) {
    const Status status = BindRequest(spec, &view_, out);
    return status.ok() ? "" : status.message();
  }
  std::string Bind(const ModelSpec& spec) {
    BoundRequest bound;
    return Bind(spec, &bound);
  }

 private:
  PredictRequestView view_;
  std::vector<std::unique_ptr<std::string>> payloads_;
};

}  // namespace maas
