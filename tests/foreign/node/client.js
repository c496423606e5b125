// Asks a server over the Open Inference Protocol and over maas.v1, with @grpc/grpc-js and the .proto files alone.
//
//   node client.js localhost:8001 digits PROTO_FOLDER... < numbers.txt
//
// Standard input holds FP32 rows for the model's first input. Every line of the output is what was asked and what came
// back, separated by tabs.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const fs = require("fs");

const [target, model, ...includeDirs] = process.argv.slice(2);
const numbers = fs.readFileSync(0, "utf8").trim().split(/\s+/).map(Number);

// No code is generated: the loader reads the contract when the program starts.
const files = ["inference/grpc_service.proto", "maas/v1/predict.proto"];
const api = grpc.loadPackageDefinition(loader.loadSync(files, { includeDirs, longs: String, enums: String }));
const channel = grpc.credentials.createInsecure();
const inference = new api.inference.GRPCInferenceService(target, channel);
const maas = new api.maas.v1.PredictService(target, channel);

// Calls a unary method and waits for its answer; every call has a deadline.
function call(client, method, request) {
  const options = { deadline: Date.now() + 20000 };
  return new Promise((resolve, reject) => {
    client[method](request, options, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function say(...fields) {
  console.log(fields.join("\t"));
}

// Prints the code and the text of the error that a call ends with.
async function sayError(what, failing) {
  const error = await failing.then(() => null, (reason) => reason);
  say(what, error ? grpc.status[error.code] : "OK", error ? error.details : "");
}

// Tensors travel row-major and little-endian, whatever this machine is.
function pack(values) {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeFloatLE(value, 4 * index));
  return bytes;
}

function unpack(datatype, bytes) {
  const read = {
    FP32: [4, (offset) => bytes.readFloatLE(offset)],
    INT64: [8, (offset) => bytes.readBigInt64LE(offset)],
  }[datatype];
  return Array.from({ length: bytes.length / read[0] }, (_, index) => read[1](index * read[0]));
}

function sayInference(what, answer) {
  answer.outputs.forEach((output, index) => {
    say(what, output.name, ...unpack(output.datatype, answer.rawOutputContents[index]));
  });
}

// Sends requests over one stream and returns the messages that answer them.
function stream(requests) {
  return new Promise((resolve, reject) => {
    const answers = [];
    const call = inference.ModelStreamInfer({ deadline: Date.now() + 20000 });
    call.on("data", (answer) => answers.push(answer));
    call.on("end", () => resolve(answers));
    call.on("error", reject);
    requests.forEach((request) => call.write(request));
    call.end();
  });
}

async function main() {
  const { ready } = await call(inference, "ModelReady", { name: model });
  say("ready", ready);
  const { inputs, outputs } = await call(inference, "ModelMetadata", { name: model });
  inputs.forEach((input) => say("input", input.name, input.datatype, ...input.shape));
  outputs.forEach((output) => say("output", output.name, output.datatype, ...output.shape));

  const [{ name, shape: declared }] = inputs;
  const width = Number(declared[declared.length - 1]);
  const shape = [numbers.length / width, width];
  const tensor = { name, datatype: "FP32", shape };

  const raw = { modelName: model, inputs: [tensor], rawInputContents: [pack(numbers)] };
  sayInference("raw", await call(inference, "ModelInfer", raw));
  const typed = { modelName: model, inputs: [{ ...tensor, contents: { fp32Contents: numbers } }] };
  sayInference("typed", await call(inference, "ModelInfer", typed));

  const unknown = { ...raw, modelName: "no-such-model" };
  for (const answer of await stream([raw, unknown])) {
    if (answer.errorMessage) say("stream error", answer.errorMessage);
    else sayInference("stream", answer.inferResponse);
  }

  const request = { model, inputs: [{ ...tensor, data: pack(numbers) }] };
  const predicted = await call(maas, "Predict", request);
  predicted.outputs.forEach((output) => say("maas", output.name, ...unpack(output.datatype, output.data)));

  await sayError("unknown model", call(inference, "ModelInfer", unknown));
  const wrong = { ...raw, inputs: [{ ...tensor, shape: [shape[0], width + 1] }] };
  await sayError("wrong shape", call(inference, "ModelInfer", wrong));
  await sayError("maas unknown model", call(maas, "Predict", { ...request, model: "no-such-model" }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
