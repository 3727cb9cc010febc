package uflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// windowHeader has the number of frames that the server lets a stream have unanswered.
const windowHeader = "uflow-stream-window"

// run makes connections until the stream is over. Each has its own channel: a connection that stalled is then certainly gone, names
// are resolved again, and the pauses are ours and not gRPC's.
func (s *Stream) run() {
	for tries := 0; ; tries++ {
		started, before := time.Now(), s.answered()
		err := s.attempt()
		if s.ctx.Err() != nil {
			return
		}
		if err.endsStream() {
			s.mu.Lock()
			s.fail(err)
			s.mu.Unlock()
			return
		}
		// An idle connection that lasted is a success too.
		if s.answered() > before || time.Since(started) > s.client.config.Backoff.Max+s.client.config.ConnectTimeout {
			tries = 0
		}
		lost := Disconnected{Err: err, Unanswered: s.disconnected(err), Pause: s.client.config.Backoff.pause(tries)}
		if s.config.OnDisconnect != nil {
			s.config.OnDisconnect(lost)
		}
		if !sleep(s.ctx, lost.Pause) {
			return
		}
	}
}

func (s *Stream) answered() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// disconnected begins an outage, or goes on with it, and returns the number of unanswered frames.
func (s *Stream) disconnected(reason *Error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.owed, s.leaving, s.drop, s.reason = 0, 0, false, nil, reason
	if s.lost.IsZero() {
		s.lost = time.Now()
	}
	s.wake()
	return len(s.waiting)
}

// attempt works on one connection until it ends, and returns the reason. Its goroutines and the connection are then gone.
func (s *Stream) attempt() *Error {
	ctx, drop := context.WithCancelCause(s.ctx)
	conn, err := s.client.connect(roundRobinStreams)
	if err != nil {
		drop(nil)
		return asError(err)
	}
	var helpers sync.WaitGroup
	defer func() {
		drop(nil)
		_ = conn.Close()
		helpers.Wait()
	}()
	timeout := s.client.config.ConnectTimeout
	opening := time.AfterFunc(timeout, func() {
		drop(&Error{Code: codes.Unavailable, Message: fmt.Sprintf("the server did not accept the stream within %v", timeout)})
	})
	defer opening.Stop()

	// reason prefers the client's own reason to drop the connection to what gRPC makes of that.
	reason := func(err error) *Error {
		var own *Error
		if errors.As(context.Cause(ctx), &own) {
			return own
		}
		return conn.explain(err)
	}
	answers, err := uflowpb.NewDetectionServiceClient(conn).DetectStream(ctx)
	if err != nil {
		return reason(err)
	}
	// The server sends its headers before it reads a frame. Without headers it has refused the stream, and Recv gives the status.
	header, err := answers.Header()
	if header != nil && err == nil && opening.Stop() {
		window := 0
		if values := header.Get(windowHeader); len(values) == 1 {
			window, _ = strconv.Atoi(values[0])
		}
		s.connected(drop, max(window, 0))
		goaway := make(chan struct{})
		helpers.Go(func() {
			if conn.waitForGoAway(ctx) {
				close(goaway)
			}
		})
		helpers.Go(func() { s.send(ctx, answers, goaway) })
	}
	for {
		answer, err := answers.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return reason(&Error{Code: codes.Unavailable, Message: "the server ended the stream"})
		case err != nil:
			return s.blame(reason(err))
		}
		if err := s.take(answer); err != nil {
			return err
		}
	}
}

func (s *Stream) connected(drop context.CancelCauseFunc, window int) {
	s.mu.Lock()
	made := Connected{Again: s.again, Outage: time.Since(s.lost), Unanswered: len(s.waiting), Window: window}
	s.again, s.drop, s.window = true, drop, s.config.InFlight
	if window > 0 {
		s.window = min(window, s.config.InFlight)
	}
	if made.Unanswered == 0 {
		s.lost = time.Time{}
	}
	s.wake()
	s.mu.Unlock()
	if s.config.OnConnect != nil {
		s.config.OnConnect(made)
	}
}

// send sends frames on one connection. Recv learns the reason of a failure.
func (s *Stream) send(ctx context.Context, answers uflowpb.DetectionService_DetectStreamClient, goaway <-chan struct{}) {
	for {
		select {
		case <-goaway:
			// The server still answers what it has.
			_ = answers.CloseSend()
			s.leave()
			return
		default:
		}
		next, last := s.next()
		switch {
		case next != nil:
			if err := answers.Send(next); err != nil {
				return
			}
		case last:
			_ = answers.CloseSend()
			return
		default:
			select {
			case <-s.toSend:
			case <-goaway:
			case <-ctx.Done():
				return
			}
		}
	}
}

// next is the next frame to send, or nil, and whether no other frame will follow.
func (s *Stream) next() (*uflowpb.DetectRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	window := s.window
	if !s.lost.IsZero() {
		// In an outage one frame finds out whether the server works again, for example whether its model is loaded.
		window = 1
	}
	if s.sent == len(s.waiting) {
		return nil, s.closed
	}
	if s.owed >= window {
		return nil, false
	}
	now := time.Now()
	if s.owed == 0 {
		s.heard = now
		s.wake()
	}
	frame := s.waiting[s.sent]
	s.sent++
	s.owed++
	return message(frame, now), false
}

func (s *Stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	if s.owed == 0 {
		s.heard = time.Now()
	}
	s.wake()
}

// take gives an answer to its frame. An error ends the connection: the frame must be sent again.
func (s *Stream) take(answer *uflowpb.DetectResponse) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = max(s.owed-1, 0)
	s.heard = time.Now()
	s.wake()
	failed := inBand(answer)
	if failed != nil && (failed.temporary() || failed.Code == codes.NotFound) {
		return failed
	}
	number := answer.GetSequence()
	late := number <= s.sequence-uint64(len(s.waiting))
	if !late && (s.sent == 0 || number != s.waiting[0].sequence) {
		return &Error{Code: codes.Internal, Message: fmt.Sprintf("the server answered frame %d out of order", number)}
	}
	s.lost = time.Time{}
	s.answers++
	// A late answer belongs to a frame that has its result: the client or the server answered it before.
	if !late {
		s.answer(answer, failed)
	}
	return nil
}

// blame finds the frame that ended the connection. The server ends a stream with OUT_OF_RANGE for a message that is larger than its
// limit, after it has answered the frames before. Only that frame fails.
func (s *Stream) blame(reason *Error) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason.Code == codes.OutOfRange && s.sent > 0 {
		s.lost = time.Time{}
		s.answers++
		s.answer(nil, reason)
	}
	return reason
}
