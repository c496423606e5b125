// Asks a server over the Open Inference Protocol and over maas.v1, with gRPC's C++ library.
//
//   client localhost:8001 digits < numbers.txt
//
// Standard input holds FP32 rows for the model's first input. Every line of the output is what was asked and what came
// back, separated by tabs. Tensors travel little-endian, as this program keeps them: it is for such machines.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "inference/grpc_service.grpc.pb.h"
#include "maas/v1/predict.grpc.pb.h"

namespace {

// A context serves one call. A call without a deadline may wait for ever.
std::unique_ptr<grpc::ClientContext> NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return context;
}

void ExitUnlessOk(const grpc::Status& status) {
  if (status.ok()) return;
  std::cerr << status.error_code() << " " << status.error_message() << "\n";
  std::exit(1);
}

void PrintError(const std::string& what, const grpc::Status& status) {
  std::cout << what << "\t" << status.error_code() << "\t" << status.error_message() << "\n";
}

template <typename T>
void PrintValues(const std::string& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  for (const T value : values) std::cout << "\t" << value;
}

void PrintTensor(const std::string& what, const std::string& name, bool is_float, const std::string& bytes) {
  std::cout << what << "\t" << name;
  if (is_float) {
    PrintValues<float>(bytes);
  } else {
    PrintValues<std::int64_t>(bytes);
  }
  std::cout << "\n";
}

void PrintAnswer(const std::string& what, const inference::ModelInferResponse& response) {
  for (int i = 0; i < response.outputs_size(); ++i) {
    const auto& output = response.outputs(i);
    PrintTensor(what, output.name(), output.datatype() == "FP32", response.raw_output_contents(i));
  }
}

template <typename Tensor>
void PrintSignature(const std::string& what, const Tensor& tensor) {
  std::cout << what << "\t" << tensor.name() << "\t" << tensor.datatype();
  for (const std::int64_t size : tensor.shape()) std::cout << "\t" << size;
  std::cout << "\n";
}

void AskOpenInferenceProtocol(inference::GRPCInferenceService::Stub* service,
                              const inference::ModelMetadataResponse& model, const std::vector<float>& numbers) {
  inference::ModelInferRequest request;
  request.set_model_name(model.name());
  auto* input = request.add_inputs();
  input->set_name(model.inputs(0).name());
  input->set_datatype("FP32");
  const std::int64_t width = *model.inputs(0).shape().rbegin();
  input->add_shape(static_cast<std::int64_t>(numbers.size()) / width);
  input->add_shape(width);

  // As typed values, which other datatypes than 16-bit floats have ...
  inference::ModelInferRequest typed = request;
  typed.mutable_inputs(0)->mutable_contents()->mutable_fp32_contents()->Add(numbers.begin(), numbers.end());
  inference::ModelInferResponse response;
  ExitUnlessOk(service->ModelInfer(NewContext().get(), typed, &response));
  PrintAnswer("typed", response);

  // ... and as bytes, one entry an input, which is what to use.
  request.add_raw_input_contents(numbers.data(), numbers.size() * sizeof(float));
  ExitUnlessOk(service->ModelInfer(NewContext().get(), request, &response));
  PrintAnswer("raw", response);

  inference::ModelInferRequest unknown = request;
  unknown.set_model_name("no-such-model");
  PrintError("unknown model", service->ModelInfer(NewContext().get(), unknown, &response));

  // On a stream a refusal is a message, and the stream goes on.
  const auto context = NewContext();
  const auto stream = service->ModelStreamInfer(context.get());
  stream->Write(unknown);
  stream->Write(request);
  stream->WritesDone();
  inference::ModelStreamInferResponse answer;
  while (stream->Read(&answer)) {
    if (answer.error_message().empty()) {
      PrintAnswer("stream", answer.infer_response());
    } else {
      std::cout << "stream error\t" << answer.error_message() << "\n";
    }
  }
  ExitUnlessOk(stream->Finish());

  request.mutable_inputs(0)->set_shape(1, width + 1);
  PrintError("wrong shape", service->ModelInfer(NewContext().get(), request, &response));
}

void AskMaas(maas::v1::PredictService::Stub* service, const inference::ModelMetadataResponse& model,
             const std::vector<float>& numbers) {
  maas::v1::PredictRequest request;
  request.set_model(model.name());
  auto* input = request.add_inputs();
  input->set_name(model.inputs(0).name());
  input->set_datatype(maas::v1::FP32);
  const std::int64_t width = *model.inputs(0).shape().rbegin();
  input->add_shape(static_cast<std::int64_t>(numbers.size()) / width);
  input->add_shape(width);
  input->set_data(numbers.data(), numbers.size() * sizeof(float));

  maas::v1::PredictResponse response;
  ExitUnlessOk(service->Predict(NewContext().get(), request, &response));
  for (const auto& output : response.outputs()) {
    PrintTensor("maas", output.name(), output.datatype() == maas::v1::FP32, output.data());
  }

  request.set_model("no-such-model");
  PrintError("maas unknown model", service->Predict(NewContext().get(), request, &response));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: client HOST:PORT MODEL < numbers\n";
    return 2;
  }
  const std::vector<float> numbers{std::istream_iterator<float>(std::cin), {}};
  // Enough digits to read a float back as it was.
  std::cout.precision(9);

  const auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  const auto service = inference::GRPCInferenceService::NewStub(channel);

  inference::ModelReadyRequest ready_request;
  ready_request.set_name(argv[2]);
  inference::ModelReadyResponse ready;
  ExitUnlessOk(service->ModelReady(NewContext().get(), ready_request, &ready));
  std::cout << "ready\t" << (ready.ready() ? "true" : "false") << "\n";

  inference::ModelMetadataRequest metadata_request;
  metadata_request.set_name(argv[2]);
  inference::ModelMetadataResponse model;
  ExitUnlessOk(service->ModelMetadata(NewContext().get(), metadata_request, &model));
  for (const auto& input : model.inputs()) PrintSignature("input", input);
  for (const auto& output : model.outputs()) PrintSignature("output", output);

  AskOpenInferenceProtocol(service.get(), model, numbers);
  AskMaas(maas::v1::PredictService::NewStub(channel).get(), model, numbers);
  return 0;
}
