package uflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// One frame from a file, with a reject rate and a mask.
func ExampleClient_Detect() {
	client, err := uflow.Open(uflow.Config{Address: "127.0.0.1:8001"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	file, err := os.ReadFile("frame.png")
	if err != nil {
		log.Fatal(err)
	}
	request := uflow.Encoded("bracket", file)
	request.Options = &uflowpb.DetectOptions{RejectRate: proto.Float64(0.001)}
	request.Outputs = &uflowpb.Outputs{Mask: uflowpb.MaskFormat_MASK_FORMAT_PNG}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answer, err := client.Detect(ctx, request)
	var failed *uflow.Error
	switch {
	case errors.As(err, &failed) && failed.Code == codes.InvalidArgument:
		log.Fatal("this frame cannot be used: ", failed.Message)
	case err != nil:
		log.Fatal(err)
	}
	found := answer.GetDetection()
	fmt.Println(found.GetAnomalous(), found.GetScore(), len(found.GetRegions()))
}

// A camera's frames on a stream: one goroutine sends, another receives. The stream survives restarts of the server.
func ExampleStream() {
	client, err := uflow.Open(uflow.Config{Address: "127.0.0.1:8001"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	stream, err := client.OpenStream(ctx, uflow.StreamConfig{
		FrameTimeout: 2 * time.Second,
		MaxOutage:    time.Minute,
		OnConnect: func(c uflow.Connected) {
			log.Printf("connected after %v; %d frames are sent again", c.Outage, c.Unanswered)
		},
		OnDisconnect: func(d uflow.Disconnected) {
			log.Printf("connection lost, %d frames unanswered, next try in %v: %v", d.Unanswered, d.Pause, d.Err)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()

	go func() {
		defer stream.CloseSend()
		for range 900 {
			pixels := make([]byte, 640*480) // the camera's picture; it must not change until its verdict is there
			frame := uflow.Raw("bracket", &uflowpb.RawImage{
				Pixels: pixels, Width: 640, Height: 480, Format: uflowpb.PixelFormat_PIXEL_FORMAT_GRAY8,
			})
			if _, err := stream.Send(ctx, frame); err != nil {
				return // Recv has the reason.
			}
		}
	}()

	for {
		result, err := stream.Recv(ctx)
		var ended *uflow.StreamError
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &ended):
			for _, frame := range ended.Unanswered {
				log.Printf("frame %d has no verdict", frame.Sequence)
			}
			log.Fatal(ended)
		case err != nil:
			log.Fatal(err)
		}
		found, err := result.Detection()
		if err != nil {
			log.Printf("frame %d: %v", result.Sequence, err)
			continue
		}
		fmt.Println(result.Sequence, found.GetAnomalous(), found.GetScore())
	}
}

// TLS with a private authority and a client certificate, and a token that is read from a file.
func ExampleLoadTLS() {
	secured, err := uflow.LoadTLS("ca.pem", "client.pem", "client.key")
	if err != nil {
		log.Fatal(err)
	}
	client, err := uflow.Open(uflow.Config{Address: "inspection.example:8001", TLS: secured, TokenFile: "token"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	models, err := client.ListModels(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, model := range models {
		fmt.Println(model.GetName(), model.GetVersion(), model.GetState(), model.GetDescription().GetDecision())
	}
}
