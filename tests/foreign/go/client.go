// Asks a server over the Open Inference Protocol and gRPC's health protocol, with Go's gRPC.
//
//	client localhost:8001 digits < numbers.txt
//
// Standard input holds FP32 rows for the model's first input. Every line of the output is what was asked and what came
// back, separated by tabs.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"inference"
)

func say(fields ...interface{}) {
	for index, field := range fields {
		if index > 0 {
			fmt.Print("\t")
		}
		fmt.Print(field)
	}
	fmt.Println()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func sayError(what string, err error) {
	answer := status.Convert(err)
	say(what, uint32(answer.Code()), answer.Message())
}

func readNumbers(from io.Reader) []float32 {
	var numbers []float32
	words := bufio.NewScanner(from)
	words.Split(bufio.ScanWords)
	for words.Scan() {
		number, err := strconv.ParseFloat(words.Text(), 32)
		must(err)
		numbers = append(numbers, float32(number))
	}
	return numbers
}

// Tensors travel row-major and little-endian, whatever this machine is.
func pack(numbers []float32) []byte {
	var packed bytes.Buffer
	must(binary.Write(&packed, binary.LittleEndian, numbers))
	return packed.Bytes()
}

func sayAnswer(what string, answer *inference.ModelInferResponse) {
	for index, output := range answer.Outputs {
		fields := []interface{}{what, output.Name}
		packed := bytes.NewReader(answer.RawOutputContents[index])
		for packed.Len() > 0 {
			if output.Datatype == "FP32" {
				var value float32
				must(binary.Read(packed, binary.LittleEndian, &value))
				fields = append(fields, value)
			} else {
				var value int64
				must(binary.Read(packed, binary.LittleEndian, &value))
				fields = append(fields, value)
			}
		}
		say(fields...)
	}
}

func saySignature(what string, tensor *inference.ModelMetadataResponse_TensorMetadata) {
	fields := []interface{}{what, tensor.Name, tensor.Datatype}
	for _, size := range tensor.Shape {
		fields = append(fields, size)
	}
	say(fields...)
}

func main() {
	target, model := os.Args[1], os.Args[2]
	numbers := readNumbers(os.Stdin)
	connection, err := grpc.Dial(target, grpc.WithInsecure())
	must(err)
	defer connection.Close()
	// One deadline for everything that this program asks.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	// Readiness of the whole server, and of one model, as load balancers ask for it.
	for _, name := range []string{"", model} {
		health, err := grpc_health_v1.NewHealthClient(connection).Check(
			ctx, &grpc_health_v1.HealthCheckRequest{Service: name})
		must(err)
		say("health", name, health.Status)
	}

	service := inference.NewGRPCInferenceServiceClient(connection)
	ready, err := service.ModelReady(ctx, &inference.ModelReadyRequest{Name: model})
	must(err)
	say("ready", ready.Ready)
	metadata, err := service.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: model})
	must(err)
	for _, input := range metadata.Inputs {
		saySignature("input", input)
	}
	for _, output := range metadata.Outputs {
		saySignature("output", output)
	}

	first := metadata.Inputs[0]
	width := first.Shape[len(first.Shape)-1]
	shape := []int64{int64(len(numbers)) / width, width}
	request := func(model string, shape []int64) *inference.ModelInferRequest {
		input := &inference.ModelInferRequest_InferInputTensor{Name: first.Name, Datatype: "FP32", Shape: shape}
		return &inference.ModelInferRequest{
			ModelName: model, Inputs: []*inference.ModelInferRequest_InferInputTensor{input}}
	}

	typed := request(model, shape)
	typed.Inputs[0].Contents = &inference.InferTensorContents{Fp32Contents: numbers}
	answer, err := service.ModelInfer(ctx, typed)
	must(err)
	sayAnswer("typed", answer)

	raw := request(model, shape)
	raw.RawInputContents = [][]byte{pack(numbers)}
	answer, err = service.ModelInfer(ctx, raw)
	must(err)
	sayAnswer("raw", answer)

	unknown := request("no-such-model", shape)
	unknown.RawInputContents = raw.RawInputContents
	_, err = service.ModelInfer(ctx, unknown)
	sayError("unknown model", err)

	wrong := request(model, []int64{shape[0], width + 1})
	wrong.RawInputContents = raw.RawInputContents
	_, err = service.ModelInfer(ctx, wrong)
	sayError("wrong shape", err)

	// On a stream a refusal is a message, and the stream goes on.
	stream, err := service.ModelStreamInfer(ctx)
	must(err)
	must(stream.Send(unknown))
	must(stream.Send(raw))
	must(stream.CloseSend())
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			break
		}
		must(err)
		if message.ErrorMessage != "" {
			say("stream error", message.ErrorMessage)
		} else {
			sayAnswer("stream", message.InferResponse)
		}
	}
}
