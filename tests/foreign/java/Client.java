import com.google.protobuf.ByteString;
import inference.GRPCInferenceServiceGrpc;
import inference.GrpcService.InferTensorContents;
import inference.GrpcService.ModelInferRequest;
import inference.GrpcService.ModelInferResponse;
import inference.GrpcService.ModelMetadataRequest;
import inference.GrpcService.ModelMetadataResponse;
import inference.GrpcService.ModelMetadataResponse.TensorMetadata;
import inference.GrpcService.ModelReadyRequest;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Scanner;
import java.util.StringJoiner;
import java.util.concurrent.TimeUnit;
import maas.v1.Predict.PredictRequest;
import maas.v1.PredictServiceGrpc;
import maas.v1.TensorOuterClass.DataType;
import maas.v1.TensorOuterClass.Tensor;

/**
 * Asks a server over the Open Inference Protocol and over maas.v1, with gRPC's Java library.
 *
 * <pre>java Client localhost:8001 digits &lt; numbers.txt</pre>
 *
 * Standard input holds FP32 rows for the model's first input. Every line of the output is what was asked and what came
 * back, separated by tabs.
 */
public final class Client {
  private static final long DEADLINE_SECONDS = 20;

  private Client() {}

  /** A call that is expected to fail. */
  private interface Call {
    void run();
  }

  public static void main(String[] arguments) throws InterruptedException {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    try {
      ask(channel, arguments[1], readNumbers());
    } finally {
      channel.shutdown().awaitTermination(DEADLINE_SECONDS, TimeUnit.SECONDS);
    }
  }

  private static void ask(ManagedChannel channel, String model, List<Float> numbers) {
    // A deadline begins when the stub is given it, and counts for every call that is made with that stub.
    GRPCInferenceServiceGrpc.GRPCInferenceServiceBlockingStub service =
        GRPCInferenceServiceGrpc.newBlockingStub(channel).withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);

    say("ready", service.modelReady(ModelReadyRequest.newBuilder().setName(model).build()).getReady());
    ModelMetadataResponse metadata =
        service.modelMetadata(ModelMetadataRequest.newBuilder().setName(model).build());
    metadata.getInputsList().forEach(input -> saySignature("input", input));
    metadata.getOutputsList().forEach(output -> saySignature("output", output));

    TensorMetadata first = metadata.getInputs(0);
    long width = first.getShape(first.getShapeCount() - 1);
    ModelInferRequest.InferInputTensor input =
        ModelInferRequest.InferInputTensor.newBuilder()
            .setName(first.getName())
            .setDatatype("FP32")
            .addShape(numbers.size() / width)
            .addShape(width)
            .build();
    ByteString packed = pack(numbers);

    ModelInferRequest typed =
        ModelInferRequest.newBuilder()
            .setModelName(model)
            .addInputs(
                input.toBuilder().setContents(InferTensorContents.newBuilder().addAllFp32Contents(numbers)))
            .build();
    sayAnswer("typed", service.modelInfer(typed));

    ModelInferRequest raw =
        ModelInferRequest.newBuilder()
            .setModelName(model)
            .addInputs(input)
            .addRawInputContents(packed)
            .build();
    sayAnswer("raw", service.modelInfer(raw));

    ModelInferRequest unknown = raw.toBuilder().setModelName("no-such-model").build();
    sayError("unknown model", () -> service.modelInfer(unknown));
    ModelInferRequest wrong = raw.toBuilder().setInputs(0, input.toBuilder().setShape(1, width + 1)).build();
    sayError("wrong shape", () -> service.modelInfer(wrong));

    PredictServiceGrpc.PredictServiceBlockingStub maas =
        PredictServiceGrpc.newBlockingStub(channel).withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
    Tensor tensor =
        Tensor.newBuilder()
            .setName(first.getName())
            .setDatatype(DataType.FP32)
            .addAllShape(input.getShapeList())
            .setData(packed)
            .build();
    PredictRequest request = PredictRequest.newBuilder().setModel(model).addInputs(tensor).build();
    for (Tensor output : maas.predict(request).getOutputsList()) {
      sayTensor("maas", output.getName(), output.getDatatype().name(), output.getData());
    }
    PredictRequest lost = request.toBuilder().setModel("no-such-model").build();
    sayError("maas unknown model", () -> maas.predict(lost));
  }

  private static List<Float> readNumbers() {
    List<Float> numbers = new ArrayList<>();
    Scanner words = new Scanner(System.in);
    while (words.hasNext()) {
      numbers.add(Float.parseFloat(words.next()));
    }
    return numbers;
  }

  /** Tensors travel row-major and little-endian; Java's buffers are big-endian unless told otherwise. */
  private static ByteString pack(List<Float> numbers) {
    ByteBuffer buffer = ByteBuffer.allocate(Float.BYTES * numbers.size()).order(ByteOrder.LITTLE_ENDIAN);
    numbers.forEach(buffer::putFloat);
    return ByteString.copyFrom(buffer.flip());
  }

  private static void sayAnswer(String what, ModelInferResponse answer) {
    for (int index = 0; index < answer.getOutputsCount(); index++) {
      ModelInferResponse.InferOutputTensor output = answer.getOutputs(index);
      sayTensor(what, output.getName(), output.getDatatype(), answer.getRawOutputContents(index));
    }
  }

  private static void sayTensor(String what, String name, String datatype, ByteString packed) {
    StringJoiner line = new StringJoiner("\t").add(what).add(name);
    ByteBuffer buffer = packed.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    while (buffer.hasRemaining()) {
      line.add(datatype.equals("FP32") ? Float.toString(buffer.getFloat()) : Long.toString(buffer.getLong()));
    }
    System.out.println(line);
  }

  private static void saySignature(String what, TensorMetadata tensor) {
    StringJoiner line = new StringJoiner("\t").add(what).add(tensor.getName()).add(tensor.getDatatype());
    tensor.getShapeList().forEach(size -> line.add(Long.toString(size)));
    System.out.println(line);
  }

  private static void sayError(String what, Call call) {
    Status status = Status.OK;
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      status = error.getStatus();
    }
    say(what, status.getCode().value() + "\t" + status.getDescription());
  }

  private static void say(String what, Object value) {
    System.out.println(what + "\t" + value);
  }
}
