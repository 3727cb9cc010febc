package uflow_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// fleet makes a client of several servers.
func fleet(t *testing.T, config uflow.Config, servers ...*fake) *uflow.Client {
	t.Helper()
	names := manual.NewBuilderWithScheme("fleet")
	var state resolver.State
	for _, server := range servers {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: server.address}}})
	}
	names.InitialState(state)
	config.Address, config.RoundRobin, config.Backoff = "fleet:///uflow", true, quick
	config.DialOptions = append(config.DialOptions, grpc.WithResolvers(names))
	return open(t, config)
}

// echoes starts servers that answer everything.
func echoes(t *testing.T, options ...grpc.ServerOption) []*fake {
	t.Helper()
	servers := make([]*fake, 3)
	for i := range servers {
		servers[i] = &fake{
			stream: func(_ int, stream uflowpb.DetectionService_DetectStreamServer) error { return echo(stream) },
			detect: func(_ context.Context, _ int, request *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
				return answer(request), nil
			},
		}
		servers[i].start(t, options...)
	}
	return servers
}

func everyServerWorked(t *testing.T, servers []*fake) {
	t.Helper()
	for i, server := range servers {
		if server.calls.Load() == 0 {
			t.Errorf("server %d got nothing", i)
		}
	}
}

func TestStreamsAndCallsUseAllServers(t *testing.T) {
	clean(t)
	servers := echoes(t)
	client := fleet(t, uflow.Config{}, servers...)
	for range 9 {
		all(t, stream(t, client, uflow.StreamConfig{}), 3)
	}
	everyServerWorked(t, servers)

	servers = echoes(t)
	client = fleet(t, uflow.Config{}, servers...)
	// The client may call the first server before it is connected to the others.
	for range 300 {
		_, err := client.Detect(t.Context(), uflow.Encoded("cloth", nil))
		must(t, err)
	}
	everyServerWorked(t, servers)
}

func TestAGoAwayOfOneOfSeveralServersCostsNoFrame(t *testing.T) {
	clean(t)
	servers := echoes(t)
	servers[0].start(t, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 100 * time.Millisecond, MaxConnectionAgeGrace: patience}))
	seen, counted := &observer{}, &wire{}
	client := fleet(t, uflow.Config{DialOptions: []grpc.DialOption{counted.option()}}, servers...)
	frames := 0
	judge := func(stream *uflow.Stream) {
		_, err := stream.Send(t.Context(), uflow.Encoded("cloth", nil))
		must(t, err)
		_, err = receive(t, stream)
		must(t, err)
		frames++
	}
	// One of the first streams is on the server whose connections end.
	for servers[0].calls.Load() == 0 {
		seen = &observer{}
		opened := stream(t, client, seen.config(uflow.StreamConfig{}))
		judge(opened)
		if servers[0].calls.Load() == 0 {
			must(t, opened.Close())
			continue
		}
		eventually(t, "another connection", func() bool {
			judge(opened)
			return seen.connects() == 2
		})
		opened.CloseSend()
		expectEnd(t, opened)
	}
	if counted.sent.Load() != int64(frames) {
		t.Errorf("%d frames, %d on the wire", frames, counted.sent.Load())
	}
}

func TestAServerThatHangsCostsNoCall(t *testing.T) {
	clean(t)
	hangs := func(ctx context.Context, _ int, _ *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	servers := echoes(t)
	servers[1].detect = hangs
	client := fleet(t, uflow.Config{AttemptTimeout: 300 * time.Millisecond}, servers...)
	for hung := &servers[1].calls; hung.Load() < 2; {
		_, err := client.Detect(t.Context(), uflow.Encoded("cloth", nil))
		must(t, err)
	}

	alone := &fake{detect: hangs}
	alone.start(t)
	_, err := alone.client(t, uflow.Config{AttemptTimeout: 500 * time.Millisecond, MaxAttempts: 3}).Detect(t.Context(), uflow.Encoded("cloth", nil))
	failure(t, err, codes.Unavailable, "the server did not answer within 500ms")
	if alone.calls.Load() != 3 {
		t.Errorf("%d calls", alone.calls.Load())
	}
	_, err = alone.client(t, uflow.Config{AttemptTimeout: patience, Timeout: 50 * time.Millisecond}).Detect(t.Context(), uflow.Encoded("cloth", nil))
	if err == nil || alone.calls.Load() != 4 {
		t.Errorf("%d calls, %v", alone.calls.Load(), err)
	}
}
