package uflow_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// quick makes a client that comes back soon.
var quick = uflow.Backoff{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond}

// wire counts the messages of streams below the client.
type wire struct {
	sent, received, most atomic.Int64
}

// option counts what a client sends and receives. `most` is the most frames that were unanswered at a time, on one connection.
func (w *wire) option() grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string,
		next grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
		stream, err := next(ctx, description, conn, method, options...)
		return &countedStream{ClientStream: stream, wire: w}, err
	})
}

type countedStream struct {
	grpc.ClientStream
	wire     *wire
	unsolved atomic.Int64
}

func (c *countedStream) SendMsg(message any) error {
	c.wire.sent.Add(1)
	unsolved := c.unsolved.Add(1)
	for most := c.wire.most.Load(); unsolved > most && !c.wire.most.CompareAndSwap(most, unsolved); {
		most = c.wire.most.Load()
	}
	return c.ClientStream.SendMsg(message)
}

// RecvMsg counts before the client sees the answer, because the client may send the next frame at once.
func (c *countedStream) RecvMsg(message any) error {
	err := c.ClientStream.RecvMsg(message)
	if err == nil {
		c.wire.received.Add(1)
		c.unsolved.Add(-1)
	}
	return err
}

// observer counts what a stream tells about its connections.
type observer struct {
	mu           sync.Mutex
	connected    []uflow.Connected
	disconnected []uflow.Disconnected
}

func (o *observer) config(config uflow.StreamConfig) uflow.StreamConfig {
	config.OnConnect = func(connected uflow.Connected) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.connected = append(o.connected, connected)
	}
	config.OnDisconnect = func(disconnected uflow.Disconnected) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.disconnected = append(o.disconnected, disconnected)
	}
	return config
}

func (o *observer) connects() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.connected)
}

func (o *observer) losses() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.disconnected)
}

// pump sends pictures from another goroutine, then closes the sending side. The returned function waits for it and tells how many
// frames were accepted.
func pump(t *testing.T, stream *uflow.Stream, pictures []picture, count int) func() int {
	accepted, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for i := range count {
			if _, err := stream.Send(t.Context(), uflow.Encoded("cloth", pictures[i%len(pictures)].bytes)); err != nil {
				return
			}
			accepted++
		}
		stream.CloseSend()
	}()
	return func() int {
		wait(t, done, "the sender")
		return accepted
	}
}

// stream opens a stream whose Close is part of the test's end.
func stream(t *testing.T, client *uflow.Client, config uflow.StreamConfig) *uflow.Stream {
	t.Helper()
	made, err := client.OpenStream(t.Context(), config)
	must(t, err)
	return made
}

// receive gives the next result within the patience of the tests.
func receive(t *testing.T, stream *uflow.Stream) (*uflow.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result, err := stream.Recv(ctx)
	if ctx.Err() != nil {
		t.Fatalf("no result of %v within %v", stream, patience)
	}
	return result, err
}

// expect receives the verdict on frame `index`, which shows pictures[index % len(pictures)].
func expect(t *testing.T, stream *uflow.Stream, pictures []picture, index int) {
	t.Helper()
	result, err := receive(t, stream)
	must(t, err)
	found, err := result.Detection()
	if err != nil {
		t.Fatalf("frame %d: %v", index+1, err)
	}
	picture := pictures[index%len(pictures)]
	if result.Sequence != uint64(index+1) || result.Response.GetSequence() != result.Sequence || verdictOf(found) != picture.want {
		t.Fatalf("result %d has sequence %d and %+v, want %+v", index+1, result.Sequence, verdictOf(found), picture.want)
	}
}

func expectEnd(t *testing.T, stream *uflow.Stream) {
	t.Helper()
	if result, err := receive(t, stream); err != io.EOF {
		t.Fatalf("after the last result: %v, %v", result, err)
	}
	must(t, stream.Err())
}

func TestAThousandFramesInOrder(t *testing.T) {
	clean(t)
	pictures := small(t)
	counted, seen := &wire{}, &observer{}
	client := serve(t, "--max-batch", "1").client(uflow.Config{DialOptions: []grpc.DialOption{counted.option()}})
	stream := stream(t, client, seen.config(uflow.StreamConfig{InFlight: 6}))
	accepted := pump(t, stream, pictures, 1000)
	for i := range 1000 {
		expect(t, stream, pictures, i)
	}
	expectEnd(t, stream)
	if accepted() != 1000 || counted.sent.Load() != 1000 || counted.most.Load() != 6 || seen.connects() != 1 || seen.losses() != 0 {
		t.Errorf("%d accepted, %d sent, %d unanswered at most (limit 6), %d connections, %d losses",
			accepted(), counted.sent.Load(), counted.most.Load(), seen.connects(), seen.losses())
	}
	if _, err := stream.Send(t.Context(), uflow.Encoded("cloth", nil)); !errors.Is(err, uflow.ErrSendClosed) {
		t.Errorf("send after the end: %v", err)
	}
}

func TestSendBlocksWhenAllPlacesAreTaken(t *testing.T) {
	clean(t)
	pictures := small(t)
	server, seen := serve(t, "--max-batch", "1"), &observer{}
	stream := stream(t, server.client(uflow.Config{}), seen.config(uflow.StreamConfig{InFlight: 3}))
	eventually(t, "connected", func() bool { return seen.connects() == 1 })
	server.signal(syscall.SIGSTOP)
	for i := range 3 {
		_, err := stream.Send(t.Context(), uflow.Encoded("cloth", pictures[i].bytes))
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := stream.Send(ctx, uflow.Encoded("cloth", pictures[3].bytes))
	failure(t, err, codes.DeadlineExceeded, "")
	server.signal(syscall.SIGCONT)
	// A place is free when a result is received.
	expect(t, stream, pictures, 0)
	_, err = stream.Send(t.Context(), uflow.Encoded("cloth", pictures[3].bytes))
	must(t, err)
	stream.CloseSend()
	for i := 1; i < 4; i++ {
		expect(t, stream, pictures, i)
	}
	expectEnd(t, stream)
}

func TestEveryVerdictOnceAndInOrderWhenTheServer(t *testing.T) {
	for name, restart := range map[string]func(t *testing.T, s *server, seen *observer){
		"is killed": func(_ *testing.T, s *server, _ *observer) {
			s.kill()
			s.start()
		},
		"is killed and stays away": func(t *testing.T, s *server, seen *observer) {
			losses := seen.losses()
			s.kill()
			eventually(t, "tried", func() bool { return seen.losses() >= losses+4 })
			s.start()
		},
		"is killed twice in a row": func(t *testing.T, s *server, seen *observer) {
			connects := seen.connects()
			s.kill()
			s.start()
			eventually(t, "connected again", func() bool { return seen.connects() > connects })
			s.kill()
			s.start()
		},
		"is stopped gracefully": func(t *testing.T, s *server, _ *observer) {
			s.signal(syscall.SIGTERM)
			wait(t, s.exited, "the end of the server")
			s.start()
		},
		"is frozen": func(t *testing.T, s *server, seen *observer) {
			losses := seen.losses()
			s.signal(syscall.SIGSTOP)
			eventually(t, "a stall is noticed", func() bool { return seen.losses() > losses })
			s.signal(syscall.SIGCONT)
		},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			const count = 120
			pictures := small(t)
			server, seen, counted := serve(t, "--max-batch", "1"), &observer{}, &wire{}
			client := server.client(uflow.Config{
				Backoff: quick, ConnectTimeout: 2 * time.Second, DialOptions: []grpc.DialOption{counted.option()},
			})
			stream := stream(t, client, seen.config(uflow.StreamConfig{StallTimeout: 2 * time.Second, MaxOutage: patience}))
			accepted := pump(t, stream, pictures, count)
			for i := range count {
				if i == 40 || i == 80 {
					restart(t, server, seen)
				}
				expect(t, stream, pictures, i)
			}
			expectEnd(t, stream)
			if accepted() != count || seen.losses() < 2 || seen.connects() < 3 || counted.most.Load() > 8 {
				t.Errorf("%d accepted, %d losses, %d connections, %d unanswered at most",
					accepted(), seen.losses(), seen.connects(), counted.most.Load())
			}
			seen.mu.Lock()
			defer seen.mu.Unlock()
			for i, connected := range seen.connected {
				if connected.Again != (i > 0) || connected.Window != 16 {
					t.Errorf("connection %d: %+v", i, connected)
				}
			}
		})
	}
}

func TestAServerThatDoesNotComeBack(t *testing.T) {
	clean(t)
	pictures := small(t)
	server, seen := serve(t, "--max-batch", "1"), &observer{}
	client := server.client(uflow.Config{Backoff: quick})
	first := stream(t, client, seen.config(uflow.StreamConfig{MaxOutage: 3 * time.Second}))
	accepted := pump(t, first, pictures, 1000)
	received := 0
	for ; received < 20; received++ {
		expect(t, first, pictures, received)
	}
	server.kill()
	var ended *uflow.StreamError
	for {
		result, err := receive(t, first)
		if errors.As(err, &ended) {
			break
		}
		must(t, err)
		if received++; result.Sequence != uint64(received) {
			t.Fatalf("result %d has sequence %d", received, result.Sequence)
		}
	}
	failure(t, ended, codes.Unavailable, "no working connection for 3s")
	if accepted() != received+len(ended.Unanswered) || len(ended.Unanswered) != 8 {
		t.Errorf("%d accepted, %d answered, %d given back", accepted(), received, len(ended.Unanswered))
	}
	if !strings.Contains(ended.Error(), "8 frames were not answered (sequence ") {
		t.Errorf("the error does not name the frames: %v", ended)
	}
	if _, err := first.Send(t.Context(), uflow.Encoded("cloth", nil)); err != first.Err() {
		t.Errorf("send after the end: %v", err)
	}
	if seen.losses() < 2 {
		t.Errorf("%d losses were reported", seen.losses())
	}

	// The frames that were given back get their verdicts on another stream.
	server.start()
	second := stream(t, client, uflow.StreamConfig{InFlight: len(ended.Unanswered)})
	for _, frame := range ended.Unanswered {
		_, err := second.Send(t.Context(), frame.Request)
		must(t, err)
	}
	second.CloseSend()
	for i, frame := range ended.Unanswered {
		result, err := receive(t, second)
		must(t, err)
		found, err := result.Detection()
		must(t, err)
		want := pictures[int(frame.Sequence-1)%len(pictures)].want
		if frame.Sequence != uint64(received+i+1) || result.Request != frame.Request || verdictOf(found) != want {
			t.Errorf("frame %d: %+v, want %+v", frame.Sequence, verdictOf(found), want)
		}
	}
	expectEnd(t, second)
	server.loaded()
}

func TestOnlyTheBadFramesFail(t *testing.T) {
	clean(t)
	pictures := small(t)
	stream := stream(t, serve(t, "--max-batch", "1", "--max-message-mib", "1").client(uflow.Config{Backoff: quick}), uflow.StreamConfig{})
	good := func(i int) *uflowpb.DetectRequest { return uflow.Encoded("cloth", pictures[i%len(pictures)].bytes) }
	late := func(i int) *uflowpb.DetectRequest {
		request := good(i)
		request.TimeLimit = durationpb.New(time.Nanosecond)
		return request
	}
	wrong := func(i int) *uflowpb.DetectRequest {
		request := good(i)
		request.TimeLimit = durationpb.New(-time.Second)
		return request
	}
	bad := map[int]struct {
		request *uflowpb.DetectRequest
		code    codes.Code
	}{
		10: {uflow.Encoded("cloth", pictures[0].bytes[:500]), codes.InvalidArgument},
		20: {uflow.Encoded("cloth", make([]byte, 3<<20)), codes.OutOfRange},
		21: {uflow.Encoded("cloth", make([]byte, 3<<20)), codes.OutOfRange},
		30: {late(30), codes.DeadlineExceeded},
		40: {uflow.Encoded("cloth", nil), codes.InvalidArgument},
		50: {wrong(50), codes.InvalidArgument},
		59: {uflow.Encoded("cloth", make([]byte, 3<<20)), codes.OutOfRange},
	}
	go func() {
		for i := range 60 {
			request := good(i)
			if frame, is := bad[i]; is {
				request = frame.request
			}
			_, _ = stream.Send(t.Context(), request)
		}
		stream.CloseSend()
	}()
	for i := range 60 {
		frame, is := bad[i]
		if !is {
			expect(t, stream, pictures, i)
			continue
		}
		result, err := receive(t, stream)
		must(t, err)
		_, err = result.Detection()
		failure(t, err, frame.code, "")
		if result.Sequence != uint64(i+1) || result.Request != frame.request {
			t.Errorf("frame %d: %+v", i+1, result)
		}
	}
	expectEnd(t, stream)
}

func TestFramesAreLateAlsoWhileTheServerIsAway(t *testing.T) {
	clean(t)
	pictures := small(t)
	server, seen := serve(t, "--max-batch", "1"), &observer{}
	stream := stream(t, server.client(uflow.Config{Backoff: quick}), seen.config(uflow.StreamConfig{InFlight: 4, FrameTimeout: 300 * time.Millisecond}))
	eventually(t, "connected", func() bool { return seen.connects() == 1 })
	index := 0
	late := func() {
		for range 4 {
			_, err := stream.Send(t.Context(), uflow.Encoded("cloth", pictures[0].bytes))
			must(t, err)
		}
		for range 4 {
			result, err := receive(t, stream)
			must(t, err)
			index++
			failure(t, onlyError(result.Detection()), codes.DeadlineExceeded, "")
			if result.Sequence != uint64(index) {
				t.Fatalf("result %d has sequence %d", index, result.Sequence)
			}
		}
	}
	server.signal(syscall.SIGSTOP)
	late()
	server.signal(syscall.SIGCONT)
	// The server may still be busy with the late frames, and the machine with something else.
	onTime := func() {
		eventually(t, "a frame is in time", func() bool {
			_, err := stream.Send(t.Context(), uflow.Encoded("cloth", pictures[0].bytes))
			must(t, err)
			result, err := receive(t, stream)
			must(t, err)
			if index++; result.Sequence != uint64(index) {
				t.Fatalf("result %d has sequence %d", index, result.Sequence)
			}
			found, err := result.Detection()
			if err == nil && verdictOf(found) != pictures[0].want {
				t.Fatalf("result %d: %+v", index, found)
			}
			return err == nil
		})
	}
	onTime()
	server.kill()
	late()
	server.start()
	onTime()
}

func TestPermanentErrorsEndTheStream(t *testing.T) {
	clean(t)
	pictures := small(t)
	file := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(file, []byte(goodToken+"\n"), 0o600))
	server := serve(t, "--max-batch", "1", "--tokens", file)
	client := server.client(uflow.Config{Token: goodToken, Backoff: quick})

	unknown := stream(t, client, uflow.StreamConfig{})
	_, err := unknown.Send(t.Context(), uflow.Encoded("cloth", pictures[0].bytes))
	must(t, err)
	expect(t, unknown, pictures, 0)
	request := uflow.Encoded("silk", pictures[0].bytes)
	_, err = unknown.Send(t.Context(), request)
	must(t, err)
	_, err = receive(t, unknown)
	failure(t, err, codes.NotFound, "there is no model `silk`")
	var ended *uflow.StreamError
	if !errors.As(err, &ended) || len(ended.Unanswered) != 1 || ended.Unanswered[0] != (uflow.Unanswered{Sequence: 2, Request: request}) {
		t.Errorf("not given back: %v", err)
	}

	// The token is no longer known after a restart.
	revoked := stream(t, client, uflow.StreamConfig{})
	accepted := pump(t, revoked, pictures, 1000)
	expect(t, revoked, pictures, 0)
	server.kill()
	must(t, os.WriteFile(file, []byte(metricsToken+"\n"), 0o600))
	server.start()
	received := 1
	for err = nil; err == nil; received++ {
		_, err = receive(t, revoked)
	}
	received--
	failure(t, err, codes.Unauthenticated, "the token is not known")
	if !errors.As(err, &ended) || received+len(ended.Unanswered) != accepted() {
		t.Errorf("%d accepted, %d received: %v", accepted(), received, err)
	}
	server.loaded()
}

func TestAModelThatIsNotLoadedYetIsAnOutage(t *testing.T) {
	clean(t)
	pictures := small(t)
	server, seen := &server{t: t, arguments: []string{"--model-control", "explicit", "--max-batch", "1"}, address: "127.0.0.1:0"}, &observer{}
	t.Cleanup(func() { server.kill() })
	server.start()
	client := server.client(uflow.Config{Backoff: quick})
	stream := stream(t, client, seen.config(uflow.StreamConfig{MaxOutage: patience}))
	accepted := pump(t, stream, pictures, 30)
	eventually(t, "the server refused frames", func() bool { return seen.losses() >= 3 })
	loaded, err := client.LoadModel(t.Context(), "cloth", 1)
	must(t, err)
	if loaded.GetState() != uflowpb.ModelState_MODEL_STATE_READY {
		t.Errorf("%v", loaded)
	}
	for i := range 30 {
		expect(t, stream, pictures, i)
	}
	expectEnd(t, stream)
	if accepted() != 30 || seen.disconnected[0].Err.Code != codes.Unavailable && seen.disconnected[0].Err.Code != codes.NotFound {
		t.Errorf("%d accepted, first loss: %v", accepted(), seen.disconnected[0].Err)
	}
	must(t, client.UnloadModel(t.Context(), "cloth", 1))
}

func TestTheServerCutsOldConnections(t *testing.T) {
	clean(t)
	pictures := small(t)
	server, seen := serve(t, "--max-batch", "1", "--max-connection-age-seconds", "0.3", "--drain-seconds", "0.1"), &observer{}
	stream := stream(t, server.client(uflow.Config{Backoff: quick}), seen.config(uflow.StreamConfig{}))
	done := make(chan int, 1)
	go func() {
		sent := 0
		for ; seen.connects() < 4; sent++ {
			_, _ = stream.Send(t.Context(), uflow.Encoded("cloth", pictures[sent%len(pictures)].bytes))
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
		found, err := result.Detection()
		must(t, err)
		if result.Sequence != uint64(received+1) || verdictOf(found) != pictures[received%len(pictures)].want {
			t.Fatalf("result %d: sequence %d, %+v", received+1, result.Sequence, verdictOf(found))
		}
	}
	if sent := <-done; received != sent {
		t.Errorf("%d frames, %d results", sent, received)
	}
}

func TestACancelledStreamLeavesNothingBehind(t *testing.T) {
	clean(t)
	pictures := small(t)
	server := serve(t, "--max-batch", "1")
	client := server.client(uflow.Config{Backoff: quick})
	_, err := client.ListModels(t.Context())
	must(t, err)
	goroutines, sockets := runtime.NumGoroutine(), countSockets()
	for _, away := range []bool{false, true} {
		for name, end := range map[string]func(cancel context.CancelFunc, stream *uflow.Stream){
			"context": func(cancel context.CancelFunc, _ *uflow.Stream) { cancel() },
			"close":   func(_ context.CancelFunc, stream *uflow.Stream) { must(t, stream.Close()) },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			seen := &observer{}
			stream, err := client.OpenStream(ctx, seen.config(uflow.StreamConfig{}))
			must(t, err)
			accepted := pump(t, stream, pictures, 1000)
			received := 0
			for ; received < 10; received++ {
				expect(t, stream, pictures, received)
			}
			if away {
				server.signal(syscall.SIGKILL)
				eventually(t, "the loss is noticed", func() bool { return seen.losses() > 1 })
			}
			end(cancel, stream)
			for ; ; received++ {
				if _, err = receive(t, stream); err != nil {
					break
				}
			}
			var ended *uflow.StreamError
			if !errors.Is(err, context.Canceled) || !errors.As(err, &ended) || accepted() != received+len(ended.Unanswered) {
				t.Errorf("%s, away %v: %d accepted, %d received, %v", name, away, accepted(), received, err)
			}
			must(t, stream.Close())
			cancel()
			if away {
				server.kill()
				server.start()
				server.loaded()
			}
		}
	}
	// The process that was started last has a goroutine for its log, as the first had.
	eventually(t, "the goroutines and sockets are gone", func() bool {
		_, err := client.ListModels(t.Context())
		return err == nil && runtime.NumGoroutine() <= goroutines && countSockets() <= sockets
	})
}

func TestCloseOfTheClientEndsItsStreams(t *testing.T) {
	clean(t)
	client := serve(t).client(uflow.Config{})
	stream := stream(t, client, uflow.StreamConfig{})
	must(t, client.Close())
	if _, err := receive(t, stream); !errors.Is(err, context.Canceled) {
		t.Errorf("recv: %v", err)
	}
	_, err := client.ListModels(t.Context())
	failure(t, err, codes.Canceled, "")
}
