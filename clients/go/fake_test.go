package uflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// fake is a server with behaviour that the real one does not show on request. `stream` and `detect` get the number of the call.
type fake struct {
	uflowpb.UnimplementedDetectionServiceServer
	stream  func(number int, stream uflowpb.DetectionService_DetectStreamServer) error
	detect  func(ctx context.Context, number int, request *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error)
	calls   atomic.Int64
	address string
}

func (f *fake) DetectStream(stream uflowpb.DetectionService_DetectStreamServer) error {
	return f.stream(int(f.calls.Add(1)), stream)
}

func (f *fake) Detect(ctx context.Context, request *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
	return f.detect(ctx, int(f.calls.Add(1)), request)
}

func (f *fake) start(t *testing.T, options ...grpc.ServerOption) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f.address = listener.Addr().String()
	server := grpc.NewServer(options...)
	uflowpb.RegisterDetectionServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
}

func (f *fake) client(t *testing.T, config uflow.Config) *uflow.Client {
	config.Address = f.address
	config.Backoff = quick
	return open(t, config)
}

// announce sends the headers of the real server.
func announce(stream uflowpb.DetectionService_DetectStreamServer, window int) error {
	return stream.SendHeader(metadata.Pairs("uflow-stream-window", fmt.Sprint(window)))
}

func answer(request *uflowpb.DetectRequest) *uflowpb.DetectResponse {
	return &uflowpb.DetectResponse{
		Sequence: request.GetSequence(), Model: request.GetModel(),
		Outcome: &uflowpb.DetectResponse_Detection{Detection: &uflowpb.Detection{Score: float32(request.GetSequence())}},
	}
}

func refusal(request *uflowpb.DetectRequest, code codes.Code, message string) *uflowpb.DetectResponse {
	return &uflowpb.DetectResponse{
		Sequence: request.GetSequence(),
		Outcome:  &uflowpb.DetectResponse_Error{Error: &uflowpb.Error{Code: int32(code), Message: message}},
	}
}

// echo answers every frame.
func echo(stream uflowpb.DetectionService_DetectStreamServer) error {
	if err := announce(stream, 16); err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(answer(request)); err != nil {
			return err
		}
	}
}

// all sends frames and expects the answers of echo.
func all(t *testing.T, stream *uflow.Stream, count int) {
	t.Helper()
	accepted := pump(t, stream, []picture{{bytes: []byte("x")}}, count)
	for i := range count {
		result, err := receive(t, stream)
		must(t, err)
		found, err := result.Detection()
		if err != nil || result.Sequence != uint64(i+1) || found.GetScore() != float32(i+1) {
			t.Fatalf("result %d: %+v, %v", i+1, result, err)
		}
	}
	expectEnd(t, stream)
	if accepted() != count {
		t.Errorf("%d frames accepted", accepted())
	}
}

func TestAServerThatDoesNotAnswer(t *testing.T) {
	for name, silent := range map[string]func(stream uflowpb.DetectionService_DetectStreamServer) error{
		"after its headers": func(stream uflowpb.DetectionService_DetectStreamServer) error {
			_ = announce(stream, 16)
			<-stream.Context().Done()
			return nil
		},
		"without headers": func(stream uflowpb.DetectionService_DetectStreamServer) error {
			<-stream.Context().Done()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			server, seen := &fake{}, &observer{}
			server.stream = func(number int, stream uflowpb.DetectionService_DetectStreamServer) error {
				if number < 3 {
					return silent(stream)
				}
				return echo(stream)
			}
			server.start(t)
			limits := uflow.StreamConfig{StallTimeout: 300 * time.Millisecond, MaxOutage: patience}
			all(t, stream(t, server.client(t, uflow.Config{ConnectTimeout: 300 * time.Millisecond}), seen.config(limits)), 20)
			if seen.losses() != 2 {
				t.Errorf("%d losses", seen.losses())
			}

			always := &fake{stream: func(_ int, stream uflowpb.DetectionService_DetectStreamServer) error { return silent(stream) }}
			always.start(t)
			limits.MaxOutage = time.Second
			never := stream(t, always.client(t, uflow.Config{ConnectTimeout: 300 * time.Millisecond}), limits)
			_, err := never.Send(t.Context(), uflow.Encoded("cloth", nil))
			must(t, err)
			_, err = receive(t, never)
			failure(t, err, codes.Unavailable, "no working connection for 1s")
		})
	}
}

func TestTheWindowOfTheServerIsKept(t *testing.T) {
	clean(t)
	server, counted := &fake{}, &wire{}
	server.stream = func(_ int, stream uflowpb.DetectionService_DetectStreamServer) error {
		if err := announce(stream, 2); err != nil {
			return err
		}
		// The first frame may be alone. Then answers come only when the client has sent all that it may.
		first, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(answer(first)); err != nil {
			return err
		}
		for {
			first, err := stream.Recv()
			if err != nil {
				return nil
			}
			second, err := stream.Recv()
			if err != nil {
				return stream.Send(answer(first))
			}
			if err := errors.Join(stream.Send(answer(first)), stream.Send(answer(second))); err != nil {
				return err
			}
		}
	}
	server.start(t)
	all(t, stream(t, server.client(t, uflow.Config{DialOptions: []grpc.DialOption{counted.option()}}), uflow.StreamConfig{}), 42)
	if counted.most.Load() != 2 {
		t.Errorf("%d frames were unanswered, the window is 2", counted.most.Load())
	}
}

func TestTemporaryErrorsOfFramesAreNotVerdicts(t *testing.T) {
	clean(t)
	server, seen := &fake{}, &observer{}
	refusals := []struct {
		code    codes.Code
		message string
	}{
		{codes.Unavailable, "model `cloth` version 1 is being loaded"},
		{codes.NotFound, "there is no model `cloth`; no model is loaded"},
		{codes.ResourceExhausted, "the server is full"},
		{codes.Canceled, "cancelled"},
	}
	server.stream = func(number int, stream uflowpb.DetectionService_DetectStreamServer) error {
		if number > len(refusals) {
			return echo(stream)
		}
		if err := announce(stream, 16); err != nil {
			return err
		}
		// Some frames are answered; the others are refused, though a later one may be answered again.
		for i := 1; ; i++ {
			request, err := stream.Recv()
			if err != nil {
				return nil
			}
			sent := answer(request)
			if i == 5 {
				sent = refusal(request, refusals[number-1].code, refusals[number-1].message)
			}
			if err := stream.Send(sent); err != nil {
				return err
			}
		}
	}
	server.start(t)
	all(t, stream(t, server.client(t, uflow.Config{}), seen.config(uflow.StreamConfig{})), 60)
	if seen.losses() != len(refusals) {
		t.Errorf("%d losses", seen.losses())
	}
}

func TestAnswersThatCameTwiceOrOutOfOrder(t *testing.T) {
	clean(t)
	server, seen := &fake{}, &observer{}
	server.stream = func(number int, stream uflowpb.DetectionService_DetectStreamServer) error {
		if number > 1 {
			return echo(stream)
		}
		if err := announce(stream, 16); err != nil {
			return err
		}
		for i := 1; ; i++ {
			request, err := stream.Recv()
			if err != nil {
				return nil
			}
			sent := answer(request)
			if err := stream.Send(sent); err != nil {
				return err
			}
			switch i {
			case 3:
				_ = stream.Send(sent)
			case 10:
				_ = stream.Send(answer(&uflowpb.DetectRequest{Sequence: request.GetSequence() + 2}))
			}
		}
	}
	server.start(t)
	all(t, stream(t, server.client(t, uflow.Config{}), seen.config(uflow.StreamConfig{})), 30)
	// The answer that came twice is dropped. Only the one out of order costs the connection.
	if seen.losses() != 1 || seen.disconnected[0].Err.Message != "the server answered frame 12 out of order" {
		t.Errorf("losses: %+v", seen.disconnected)
	}
}

func TestPermanentStatusesOfTheStream(t *testing.T) {
	clean(t)
	for _, code := range []codes.Code{
		codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.NotFound, codes.Unimplemented,
	} {
		server := &fake{stream: func(_ int, stream uflowpb.DetectionService_DetectStreamServer) error {
			if code == codes.NotFound {
				// With headers first, as a proxy may do.
				_ = announce(stream, 16)
			}
			return status.Error(code, "the reason")
		}}
		server.start(t)
		stream := stream(t, server.client(t, uflow.Config{}), uflow.StreamConfig{})
		_, sent := stream.Send(t.Context(), uflow.Encoded("cloth", nil))
		_, err := receive(t, stream)
		failure(t, err, code, "the reason")
		var ended *uflow.StreamError
		if !errors.As(err, &ended) || sent == nil && len(ended.Unanswered) != 1 || server.calls.Load() != 1 {
			t.Errorf("%v: %d calls, %v", code, server.calls.Load(), err)
		}
	}
}

func TestAGoAwayCostsNoFrame(t *testing.T) {
	clean(t)
	server, seen, counted := &fake{stream: func(_ int, stream uflowpb.DetectionService_DetectStreamServer) error { return echo(stream) }},
		&observer{}, &wire{}
	server.start(t, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 100 * time.Millisecond, MaxConnectionAgeGrace: patience}))
	client := server.client(t, uflow.Config{DialOptions: []grpc.DialOption{counted.option()}})
	stream := stream(t, client, seen.config(uflow.StreamConfig{}))
	done := make(chan int, 1)
	go func() {
		sent := 0
		for ; seen.connects() < 4; sent++ {
			_, _ = stream.Send(t.Context(), uflow.Encoded("cloth", nil))
		}
		stream.CloseSend()
		done <- sent
	}()
	received := 0
	for ; ; received++ {
		result, err := receive(t, stream)
		if err == io.EOF {
			break
		}
		must(t, err)
		if result.Sequence != uint64(received+1) {
			t.Fatalf("result %d has sequence %d", received+1, result.Sequence)
		}
	}
	if sent := <-done; received != sent || counted.sent.Load() != int64(sent) {
		t.Errorf("%d frames, %d results, %d frames on the wire", sent, received, counted.sent.Load())
	}
}

func TestClosingAnUnusedStream(t *testing.T) {
	clean(t)
	server := &fake{stream: func(_ int, stream uflowpb.DetectionService_DetectStreamServer) error { return echo(stream) }}
	server.start(t)
	for _, address := range []string{server.address, "127.0.0.1:1"} {
		client := open(t, uflow.Config{Address: address})
		stream := stream(t, client, uflow.StreamConfig{})
		stream.CloseSend()
		expectEnd(t, stream)
		must(t, stream.Close())
		must(t, stream.Close())
	}
}

func TestCallsAreRepeatedWhereThatIsSafe(t *testing.T) {
	clean(t)
	for _, test := range []struct {
		code    codes.Code
		message string
		calls   int64
	}{
		{codes.Unavailable, "the server is stopping", 4},
		{codes.ResourceExhausted, "the server is full", 4},
		{codes.Canceled, "a proxy went away", 4},
		{codes.NotFound, "there is no model `cloth`; no model is loaded", 4},
		{codes.NotFound, "there is no model `cloth`; there are silk", 1},
		{codes.InvalidArgument, "the frame is wrong", 1},
		{codes.Internal, "the numbers are not finite", 1},
		{codes.Unauthenticated, "a token is needed", 1},
	} {
		server := &fake{}
		server.detect = func(_ context.Context, number int, request *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
			if number < 4 {
				return nil, status.Error(test.code, test.message)
			}
			return answer(request), nil
		}
		server.start(t)
		_, err := server.client(t, uflow.Config{}).Detect(t.Context(), uflow.Encoded("cloth", nil))
		if test.calls == 1 {
			failure(t, err, test.code, test.message)
		} else {
			must(t, err)
		}
		if server.calls.Load() != test.calls {
			t.Errorf("%v: %d calls, want %d", test.code, server.calls.Load(), test.calls)
		}
		server.calls.Store(0)
		_, err = server.client(t, uflow.Config{MaxAttempts: 1}).Detect(t.Context(), uflow.Encoded("cloth", nil))
		failure(t, err, test.code, test.message)
	}

	// The error has the server's reason, whether the deadline comes in a pause or in a try.
	server := &fake{detect: func(context.Context, int, *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
		return nil, status.Error(codes.Unavailable, "the server is stopping")
	}}
	server.start(t)
	_, err := server.client(t, uflow.Config{Timeout: 500 * time.Millisecond}).Detect(t.Context(), uflow.Encoded("cloth", nil))
	if status.Code(err) != codes.Unavailable {
		failure(t, err, codes.DeadlineExceeded, "the try before: the server is stopping")
	} else {
		failure(t, err, codes.Unavailable, "the server is stopping")
	}
	if server.calls.Load() < 2 {
		t.Errorf("%d calls", server.calls.Load())
	}
}

func TestTheUserAgentIsSent(t *testing.T) {
	clean(t)
	agent := make(chan []string, 1)
	server := &fake{detect: func(ctx context.Context, _ int, request *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
		sent, _ := metadata.FromIncomingContext(ctx)
		agent <- sent.Get("user-agent")
		return answer(request), nil
	}}
	server.start(t)
	for want, config := range map[string]uflow.Config{"uflow-go/" + uflow.Version: {}, "line 3": {UserAgent: "line 3"}} {
		_, err := server.client(t, config).Detect(t.Context(), uflow.Encoded("cloth", nil))
		must(t, err)
		if got := <-agent; len(got) != 1 || len(got[0]) <= len(want) || got[0][:len(want)] != want {
			t.Errorf("the user agent is %q, want %q", got, want)
		}
	}
}
