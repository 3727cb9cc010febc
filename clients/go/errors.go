package uflow

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// ErrSendClosed is the error of [Stream.Send] after [Stream.CloseSend].
var ErrSendClosed = errors.New("uflow: frame not sent: CloseSend was called")

// Error is the failure of a call, or of one frame of a stream.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Message is the server's text: what was wrong, where, and what to do. If no server answered, it is the text of the transport.
	Message string

	cause error
	// certificate marks a TLS failure that a second try does not repair.
	certificate bool
}

func (e *Error) Error() string { return "uflow: " + e.Code.String() + ": " + e.Message }

// Unwrap returns the error of the transport, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, context.DeadlineExceeded) and errors.Is(err, context.Canceled) true for the codes of these names.
func (e *Error) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded ||
		target == context.Canceled && e.Code == codes.Canceled
}

// GRPCStatus makes status.Code and status.FromError work.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// asError converts an error of gRPC or of a context.
func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	return &Error{Code: s.Code(), Message: s.Message(), cause: err}
}

// inBand is the error in an answer, or nil.
func inBand(answer *uflowpb.DetectResponse) *Error {
	switch outcome := answer.GetOutcome().(type) {
	case *uflowpb.DetectResponse_Detection:
		return nil
	case *uflowpb.DetectResponse_Error:
		return &Error{Code: codes.Code(outcome.Error.GetCode()), Message: outcome.Error.GetMessage()}
	default:
		return &Error{Code: codes.Internal, Message: "the answer has neither a detection nor an error"}
	}
}

// nothingLoaded is a part of the server's message while its table of models is empty: at the start, or without any model.
const nothingLoaded = "no model is loaded"

// temporary tells whether a call or a frame with this error may succeed later.
func (e *Error) temporary() bool {
	switch e.Code {
	case codes.Unavailable:
		return !e.certificate
	case codes.ResourceExhausted, codes.Canceled:
		return true
	case codes.NotFound:
		return strings.Contains(e.Message, nothingLoaded)
	default:
		return false
	}
}

// endsStream tells whether a stream that ended with this error must not be opened again. Codes that are not listed come from a
// connection or a proxy that broke.
func (e *Error) endsStream() bool {
	switch e.Code {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented:
		return true
	default:
		return e.certificate || e.Code == codes.NotFound && !e.temporary()
	}
}

// Unanswered is a frame without a verdict.
type Unanswered struct {
	// Sequence is the number that Send returned.
	Sequence uint64
	// Request is the message that was given to Send.
	Request *uflowpb.DetectRequest
}

// StreamError says why a stream ended early and which frames have no verdict. Verdicts that came before the end are not in it;
// Recv gives them first.
type StreamError struct {
	// Err is the reason.
	Err *Error
	// Unanswered has the frames without a verdict, in the order of Send. They can be sent on another stream.
	Unanswered []Unanswered
}

func (e *StreamError) Error() string {
	reason := e.Err.Code.String() + ": " + e.Err.Message
	switch count := len(e.Unanswered); count {
	case 0:
		return "uflow: the stream ended; every frame was answered: " + reason
	case 1:
		return fmt.Sprintf("uflow: the stream ended; 1 frame was not answered (sequence %d): %s", e.Unanswered[0].Sequence, reason)
	default:
		first, last := e.Unanswered[0].Sequence, e.Unanswered[count-1].Sequence
		return fmt.Sprintf("uflow: the stream ended; %d frames were not answered (sequence %d to %d): %s", count, first, last, reason)
	}
}

// Unwrap returns the reason, an [*Error].
func (e *StreamError) Unwrap() error { return e.Err }
