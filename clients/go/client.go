package uflow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// Version is the version of this client. The default user agent contains it.
const Version = "0.1.0"

// pingAnswer is how long the server may take to answer a ping.
const pingAnswer = 10 * time.Second

// Config says where the server is and how to talk to it. Only Address is required.
type Config struct {
	// Address is the server's gRPC port, for example "inspection.example:8001". Any target of gRPC for Go is accepted.
	Address string
	// RoundRobin shares the work among all servers that Address resolves to, for example "dns:///uflow-headless.line3:8001" (a headless
	// service of Kubernetes). Calls go to the servers in turn; each connection of a stream goes to the next server. Servers that cannot
	// be reached are left out. Without it, all calls go to one server, and so do the streams.
	RoundRobin bool
	// TLS turns TLS on. An empty &tls.Config{} uses the authorities of the system; see [LoadTLS] for files. nil means plaintext.
	TLS *tls.Config
	// Token is the bearer token. Without TLS it crosses the network unencrypted.
	Token string
	// TokenFile names a file with the token, which is read again for each call. Set Token or TokenFile, not both.
	TokenFile string
	// Timeout is the time limit for a call whose context has no deadline. Retries do not extend it. 0 means 30 s; a negative value
	// means no limit. Streams have limits of their own.
	Timeout time.Duration
	// MaxAttempts is the most tries of a call. 0 means as many as the deadline allows; 1 means no retries.
	MaxAttempts int
	// AttemptTimeout is the time limit of one try of a call. The call is then tried again, with RoundRobin on another server, until
	// Timeout. So a server that hangs costs no call. It must be longer than a busy server needs for one frame. 0 means no limit.
	AttemptTimeout time.Duration
	// Backoff bounds the pauses before tries, also those of streams.
	Backoff Backoff
	// ConnectTimeout is the time limit for one connection: TCP, TLS, HTTP/2 and, on a stream, the server's headers. 0 means 10 s.
	ConnectTimeout time.Duration
	// Keepalive is the time without data after which the client pings a server that owes an answer. A server that does not answer
	// the ping within 10 s counts as lost. 0 means 20 s; 10 s is the least that gRPC allows. The U-Flow server accepts pings at any
	// rate; a proxy between may not.
	Keepalive time.Duration
	// UserAgent replaces the default, "uflow-go/<version>". gRPC appends its own name.
	UserAgent string
	// DialOptions come after those that the client sets, for example for a dialer, an interceptor or a stats handler.
	DialOptions []grpc.DialOption
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Address == "":
		return c, errors.New("uflow: Config.Address is empty; give the server's gRPC port, for example \"127.0.0.1:8001\"")
	case c.Token != "" && c.TokenFile != "":
		return c, errors.New("uflow: Config.Token and Config.TokenFile are both set; set one of them")
	case c.Backoff.Initial < 0 || c.Backoff.Max < 0 || c.ConnectTimeout < 0 || c.Keepalive < 0 || c.MaxAttempts < 0 || c.AttemptTimeout < 0:
		return c, errors.New("uflow: Config.Backoff, ConnectTimeout, Keepalive, MaxAttempts and AttemptTimeout must not be negative")
	}
	setDefault(&c.Timeout, 30*time.Second)
	setDefault(&c.Backoff.Initial, 100*time.Millisecond)
	setDefault(&c.Backoff.Max, 5*time.Second)
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.Keepalive, 20*time.Second)
	setDefault(&c.UserAgent, "uflow-go/"+Version)
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
	}
	return c, nil
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	config Config
	calls  *connection
	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc
	// closing orders OpenStream and Close.
	closing sync.Mutex
	streams sync.WaitGroup
}

var errClosed = &Error{Code: codes.Canceled, Message: "the client is closed"}

// Open makes a client. The client connects with the first call; a server that is not there yet is an error of that call.
func Open(config Config) (*Client, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{config: config}
	if config.Token != "" || config.TokenFile != "" {
		if _, err := c.token().GetRequestMetadata(context.Background()); err != nil {
			return nil, errors.New("uflow: " + asError(err).Message)
		}
	}
	if c.calls, err = c.connect(roundRobinCalls); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends all streams and calls of this client and waits until their goroutines and connections are gone. It returns nil.
func (c *Client) Close() error {
	c.closing.Lock()
	c.cancel()
	c.closing.Unlock()
	c.streams.Wait()
	// Its only error says that it was called before.
	_ = c.calls.Close()
	return nil
}

func (c *Client) token() bearer { return bearer{c.config.Token, c.config.TokenFile} }

// connection is a channel of gRPC that can say why TLS failed.
type connection struct {
	*grpc.ClientConn
	handshakes handshakes
}

// connect makes a channel. The service configuration says how it chooses among several servers; it is used with RoundRobin.
func (c *Client) connect(several string) (*connection, error) {
	cfg, made := c.config, &connection{}
	transport := insecure.NewCredentials()
	if cfg.TLS != nil {
		made.handshakes = newHandshakes(cfg.TLS)
		transport = made.handshakes
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(cfg.UserAgent),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.Keepalive, Timeout: pingAnswer}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: cfg.Backoff.Initial, Multiplier: 2, Jitter: 0.5, MaxDelay: cfg.Backoff.Max},
			MinConnectTimeout: cfg.ConnectTimeout,
		}),
		// gRPC's own limit of 4 MB would end a stream for one large mask. The server has a limit for its answers.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithDisableServiceConfig(),
	}
	if cfg.Token != "" || cfg.TokenFile != "" {
		options = append(options, grpc.WithPerRPCCredentials(c.token()))
	}
	if cfg.RoundRobin {
		options = append(options, grpc.WithDefaultServiceConfig(several))
	}
	conn, err := grpc.NewClient(cfg.Address, append(options, cfg.DialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("uflow: %w", err)
	}
	made.ClientConn = conn
	return made, nil
}

// explain adds the TLS failure, if there was one, to an error of this connection.
func (c *connection) explain(err error) *Error {
	failed := asError(err)
	if c.handshakes.refused == nil || failed.Code != codes.Unavailable {
		return failed
	}
	if refused := c.handshakes.refused.Load(); refused != nil {
		return &Error{Code: failed.Code, Message: failed.Message, cause: *refused, certificate: true}
	}
	return failed
}

// waitForGoAway returns true when the server has asked for the end of the connection: the channel then leaves READY, while a stream on
// the connection still works. A lost connection looks the same. It returns false if the context ends first.
func (c *connection) waitForGoAway(ctx context.Context) bool {
	// A call can succeed a moment before the channel says READY.
	for state := c.GetState(); state == connectivity.Connecting; state = c.GetState() {
		if !c.WaitForStateChange(ctx, state) {
			return false
		}
	}
	return c.WaitForStateChange(ctx, connectivity.Ready)
}

// ListModels returns every version of every model in the server's repository, ordered by name and version.
func (c *Client) ListModels(ctx context.Context) ([]*uflowpb.Model, error) {
	answer, err := call(ctx, c, true, func(ctx context.Context) (*uflowpb.ListModelsResponse, error) {
		return c.models().ListModels(ctx, &uflowpb.ListModelsRequest{})
	})
	return answer.GetModels(), err
}

// GetModel describes one version of a model. Version 0 is the current version.
func (c *Client) GetModel(ctx context.Context, model string, version uint32) (*uflowpb.Model, error) {
	answer, err := call(ctx, c, true, func(ctx context.Context) (*uflowpb.GetModelResponse, error) {
		return c.models().GetModel(ctx, &uflowpb.GetModelRequest{Model: model, Version: version})
	})
	return answer.GetModel(), err
}

// LoadModel loads a model from the server's repository and returns when the model is ready. The server must allow model control.
// Version 0 is the highest version. The call is not repeated. Loading can take longer than the default timeout; set a deadline.
func (c *Client) LoadModel(ctx context.Context, model string, version uint32) (*uflowpb.Model, error) {
	answer, err := call(ctx, c, false, func(ctx context.Context) (*uflowpb.LoadModelResponse, error) {
		return c.models().LoadModel(ctx, &uflowpb.LoadModelRequest{Model: model, Version: version})
	})
	return answer.GetModel(), err
}

// UnloadModel unloads a model. The server must allow model control. Version 0 means all loaded versions. The call is not repeated.
func (c *Client) UnloadModel(ctx context.Context, model string, version uint32) error {
	_, err := call(ctx, c, false, func(ctx context.Context) (*uflowpb.UnloadModelResponse, error) {
		return c.models().UnloadModel(ctx, &uflowpb.UnloadModelRequest{Model: model, Version: version})
	})
	return err
}

// Detect finds defects in one frame. The outcome of the answer is a detection. Temporary failures are tried again until the deadline.
// If the next try would begin after the deadline, the last failure is returned at once.
func (c *Client) Detect(ctx context.Context, request *uflowpb.DetectRequest) (*uflowpb.DetectResponse, error) {
	if err := check(request); err != nil {
		return nil, err
	}
	return call(ctx, c, true, func(ctx context.Context) (*uflowpb.DetectResponse, error) {
		answer, err := uflowpb.NewDetectionServiceClient(c.calls).Detect(ctx, request)
		if err != nil {
			return nil, err
		}
		if failed := inBand(answer); failed != nil {
			return nil, failed
		}
		return answer, nil
	})
}

func (c *Client) models() uflowpb.ModelServiceClient { return uflowpb.NewModelServiceClient(c.calls) }

// call makes a call within its deadline, and again while its failures are temporary.
func call[T any](ctx context.Context, c *Client, repeat bool, once func(context.Context) (*T, error)) (*T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if _, has := ctx.Deadline(); !has && c.config.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.config.Timeout)
		defer cancel()
	}
	var before *Error
	for tries := 1; ; tries++ {
		answer, err := attempt(ctx, c.config.AttemptTimeout, once)
		if err == nil {
			return answer, nil
		}
		if c.ctx.Err() != nil {
			return nil, errClosed
		}
		failed := c.calls.explain(err)
		if before != nil && failed.Code == codes.DeadlineExceeded {
			return nil, &Error{Code: failed.Code, Message: failed.Message + "; the try before: " + before.Message, cause: before}
		}
		if before = failed; !repeat || !failed.temporary() || ctx.Err() != nil || tries == c.config.MaxAttempts {
			return nil, failed
		}
		pause := c.config.Backoff.pause(tries - 1)
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) <= pause {
			return nil, failed
		}
		if !sleep(ctx, pause) {
			return nil, asError(ctx.Err())
		}
	}
}

// attempt makes one try within its own limit. A try that is over before the call is temporary.
func attempt[T any](ctx context.Context, limit time.Duration, once func(context.Context) (*T, error)) (*T, error) {
	end := time.Now().Add(limit)
	if last, has := ctx.Deadline(); limit == 0 || has && last.Before(end) {
		return once(ctx)
	}
	try, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	answer, err := once(try)
	// The server is told the limit, and its clock may be a little ahead.
	late := status.Code(err) == codes.DeadlineExceeded && time.Until(end) <= limit/10
	if err != nil && ctx.Err() == nil && late {
		return nil, &Error{Code: codes.Unavailable, Message: fmt.Sprintf("the server did not answer within %v", limit), cause: err}
	}
	return answer, err
}
