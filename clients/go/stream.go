package uflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// StreamConfig has the limits and observers of a stream. The zero value is good for most uses.
type StreamConfig struct {
	// InFlight is the most frames between Send and Recv, and so the bound of the stream's memory. If the server announces a smaller
	// window, fewer frames are sent ahead. 0 means 8.
	InFlight int
	// FrameTimeout is the time limit of a frame, counted from Send, also while there is no connection. A frame that is late is
	// answered with DEADLINE_EXCEEDED in its turn. A request with a time_limit of its own keeps that, counted in the same way.
	// 0 means no limit.
	FrameTimeout time.Duration
	// StallTimeout is the longest silence of a server that owes an answer. The client then drops the connection and makes another.
	// It must be longer than the server needs for one frame when it is busy. 0 means 60 s; a negative value means no limit.
	StallTimeout time.Duration
	// MaxOutage is the longest time without a working connection; after it the stream ends with a [*StreamError]. An outage lasts
	// from the loss of the connection until the server answers a frame, or accepts the stream if no frame is unanswered. The start
	// of the stream counts as a loss. 0 means 2 min; a negative value means no limit.
	MaxOutage time.Duration
	// OnConnect is called when the server has accepted the stream, for the first time and after each loss. It must return soon and
	// must not call the stream's methods; the same holds for OnDisconnect.
	OnConnect func(Connected)
	// OnDisconnect is called when a connection is lost, cannot be made, or cannot be used yet, and the client will try again.
	OnDisconnect func(Disconnected)
}

// Connected describes a connection that can be used.
type Connected struct {
	// Again is false for the first connection of the stream.
	Again bool
	// Outage is the time since the connection was lost, or since the start of the stream.
	Outage time.Duration
	// Unanswered is the number of frames that are sent again.
	Unanswered int
	// Window is the number of unanswered frames that the server allows, or 0 if it did not say.
	Window int
}

// Disconnected describes the loss of a connection.
type Disconnected struct {
	// Err is the reason.
	Err *Error
	// Unanswered is the number of frames without a verdict.
	Unanswered int
	// Pause is the time until the next try.
	Pause time.Duration
}

// Result is the verdict on one frame.
type Result struct {
	// Sequence is the number that Send returned: 1 for the first frame of the stream, then 2, and so on.
	Sequence uint64
	// Request is the message that was given to Send.
	Request *uflowpb.DetectRequest
	// Response is the server's answer. It is nil if the client answered in its place; Err then says why.
	Response *uflowpb.DetectResponse
	// Err says why this frame has no detection. The stream goes on.
	Err *Error
}

// Detection is the detection, or the error of this frame.
func (r *Result) Detection() (*uflowpb.Detection, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	return r.Response.GetDetection(), nil
}

// frame is a frame without an answer.
type frame struct {
	sequence uint64
	request  *uflowpb.DetectRequest
	// deadline is zero if the frame has no time limit.
	deadline time.Time
}

// Stream judges frames in order. One goroutine may send while another receives.
//
// A frame occupies one of InFlight places from Send until Recv returns its result. The places bound all queues below, so that no
// send to them blocks. Three goroutines work on a stream: one connects and receives (connection.go), one sends on the present
// connection, and one watches the limits of time (clock.go).
type Stream struct {
	client *Client
	config StreamConfig
	ctx    context.Context
	cancel context.CancelFunc

	places  chan struct{}
	results chan *Result
	// ended is closed after the last goroutine has returned; failure is set before.
	ended chan struct{}
	// toSend and toClock wake a goroutine up after a change of the fields below.
	toSend, toClock chan struct{}

	mu sync.Mutex
	// waiting has the frames without an answer, the oldest first. The first `sent` of them were sent on the present connection.
	waiting []*frame
	sent    int
	// owed is the number of answers that the server owes on this connection. It is above `sent` after a frame was late: the client has
	// answered that frame, and the server will.
	owed   int
	window int
	// leaving is set when the server has asked for the end of the connection and this side is closed.
	leaving bool
	// heard is when the server answered last, or began to owe an answer.
	heard time.Time
	// drop ends the present connection; nil if there is none that can be used.
	drop context.CancelCauseFunc
	// lost is when the outage began; zero if there is none. reason is the last failure.
	lost   time.Time
	reason *Error
	// answers counts the answers of the server that say that it works.
	answers  uint64
	again    bool
	sequence uint64
	closed   bool
	failure  error
}

// OpenStream starts a stream. The context and [Client.Close] end it. The client connects in the background, so that a server which
// is not there yet is an outage and not an error of this call.
//
// The caller must receive: with InFlight frames between Send and Recv, Send blocks. Call [Stream.Close] when done.
func (c *Client) OpenStream(ctx context.Context, config StreamConfig) (*Stream, error) {
	if config.InFlight < 0 || config.FrameTimeout < 0 {
		return nil, errors.New("uflow: StreamConfig.InFlight and FrameTimeout must not be negative")
	}
	setDefault(&config.InFlight, 8)
	setDefault(&config.StallTimeout, time.Minute)
	setDefault(&config.MaxOutage, 2*time.Minute)
	s := &Stream{
		client:  c,
		config:  config,
		places:  make(chan struct{}, config.InFlight),
		results: make(chan *Result, config.InFlight),
		ended:   make(chan struct{}),
		toSend:  make(chan struct{}, 1),
		toClock: make(chan struct{}, 1),
		lost:    time.Now(),
		reason:  &Error{Code: codes.Unavailable, Message: "the server has not accepted the stream yet"},
	}
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.ctx.Err() != nil {
		return nil, errClosed
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, s.cancel)
	var clock sync.WaitGroup
	clock.Go(s.watch)
	c.streams.Go(func() {
		s.run()
		stop()
		s.cancel()
		clock.Wait()
		s.conclude()
	})
	return s, nil
}

// Send hands a frame over and returns its number. It blocks while InFlight frames are between Send and Recv. The stream replaces the
// request's sequence number in what it sends; it does not change the request. The caller must not change the request, or the bytes of
// its image, until the frame is answered, because the frame may have to be sent again.
func (s *Stream) Send(ctx context.Context, request *uflowpb.DetectRequest) (uint64, error) {
	if err := check(request); err != nil {
		return 0, err
	}
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return 0, asError(ctx.Err())
	case <-s.ctx.Done():
		return 0, s.sendFailure()
	}
	s.mu.Lock()
	if !s.closed && s.failure == nil && s.ctx.Err() == nil {
		defer s.mu.Unlock()
		return s.accept(request), nil
	}
	s.mu.Unlock()
	<-s.places
	return 0, s.sendFailure()
}

// accept is called with the mutex held.
func (s *Stream) accept(request *uflowpb.DetectRequest) uint64 {
	s.sequence++
	accepted := &frame{sequence: s.sequence, request: request}
	limit := s.config.FrameTimeout
	if own := request.GetTimeLimit(); own != nil {
		// The server refuses a time limit that is not above 0 or not valid.
		if limit = 0; own.IsValid() {
			limit = own.AsDuration()
		}
	}
	if limit > 0 {
		accepted.deadline = time.Now().Add(limit)
	}
	s.waiting = append(s.waiting, accepted)
	s.wake()
	return s.sequence
}

func (s *Stream) sendFailure() error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrSendClosed
	}
	<-s.ended
	return s.failure
}

// Recv returns the next result, in the order of Send. It returns io.EOF after CloseSend and the last result, and a [*StreamError] if
// the stream ended before that.
func (s *Stream) Recv(ctx context.Context) (*Result, error) {
	select {
	case result := <-s.results:
		return s.receive(result), nil
	case <-s.ended:
	case <-ctx.Done():
		return nil, asError(ctx.Err())
	}
	// Results that came before the end are still there.
	select {
	case result := <-s.results:
		return s.receive(result), nil
	default:
		return nil, s.failure
	}
}

func (s *Stream) receive(result *Result) *Result {
	<-s.places
	return result
}

// CloseSend says that no frame follows. The stream ends when the last frame is answered.
func (s *Stream) CloseSend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.settle()
	s.wake()
}

// Close ends the stream and returns when its goroutines and its connection are gone. Frames without a verdict are then in the
// [*StreamError] that Recv and Err return. Close after the end of the stream does nothing.
func (s *Stream) Close() error {
	s.cancel()
	<-s.ended
	return nil
}

// Err returns nil while the stream works and after an end with all frames answered, else the [*StreamError].
func (s *Stream) Err() error {
	select {
	case <-s.ended:
		if s.failure == io.EOF {
			return nil
		}
		return s.failure
	default:
		return nil
	}
}

// wake lets the other goroutines look at the state again.
func (s *Stream) wake() {
	for _, signal := range []chan struct{}{s.toSend, s.toClock} {
		select {
		case signal <- struct{}{}:
		default:
		}
	}
}

// answer gives the oldest frame its result. It is called with the mutex held.
func (s *Stream) answer(response *uflowpb.DetectResponse, failed *Error) {
	oldest := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	s.sent = max(s.sent-1, 0)
	s.results <- &Result{Sequence: oldest.sequence, Request: oldest.request, Response: response, Err: failed}
	s.settle()
	s.wake()
}

// settle ends the stream if nothing is left to do. It is called with the mutex held.
func (s *Stream) settle() {
	if s.closed && len(s.waiting) == 0 && s.failure == nil {
		s.failure = io.EOF
		s.cancel()
	}
}

// fail ends the stream. The caller's frames stay in waiting, for the account. It is called with the mutex held.
func (s *Stream) fail(reason *Error) {
	if s.failure == nil {
		s.failure = &StreamError{Err: reason}
		s.cancel()
	}
}

// conclude writes the account after all other goroutines of the stream have returned.
func (s *Stream) conclude() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		ended := asError(s.ctx.Err())
		s.fail(&Error{Code: ended.Code, Message: "the stream was cancelled: " + ended.Message, cause: ended.cause})
	}
	var failed *StreamError
	if errors.As(s.failure, &failed) {
		for _, frame := range s.waiting {
			failed.Unanswered = append(failed.Unanswered, Unanswered{frame.sequence, frame.request})
		}
	}
	s.waiting = nil
	close(s.ended)
}

func (s *Stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("uflow.Stream{sequence: %d, unanswered: %d}", s.sequence, len(s.waiting))
}
