package uflow

import (
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// Encoded makes a request for a frame that is a PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file. Set the other fields of the request for
// options and outputs.
func Encoded(model string, file []byte) *uflowpb.DetectRequest {
	return &uflowpb.DetectRequest{Model: model, Image: &uflowpb.DetectRequest_Encoded{Encoded: file}}
}

// Raw makes a request for pixels as a camera's driver provides them.
func Raw(model string, image *uflowpb.RawImage) *uflowpb.DetectRequest {
	return &uflowpb.DetectRequest{Model: model, Image: &uflowpb.DetectRequest_Raw{Raw: image}}
}

// check refuses a request that cannot be encoded. gRPC would end the whole stream for it.
func check(request *uflowpb.DetectRequest) *Error {
	switch {
	case request == nil:
		return &Error{Code: codes.InvalidArgument, Message: "the request is nil"}
	case !utf8.ValidString(request.GetModel()):
		return &Error{Code: codes.InvalidArgument, Message: "the model's name is not valid UTF-8"}
	case proto.Size(request) > math.MaxInt32:
		return &Error{Code: codes.InvalidArgument, Message: "the request is larger than a gRPC message may be (2 GiB)"}
	default:
		return nil
	}
}

// message is the request as it is sent: with the stream's number and with what is left of the time limit. The image is shared with
// the caller's request, which stays as it is.
func message(frame *frame, now time.Time) *uflowpb.DetectRequest {
	sent := &uflowpb.DetectRequest{}
	fields := sent.ProtoReflect()
	frame.request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		fields.Set(field, value)
		return true
	})
	sent.Sequence = frame.sequence
	if !frame.deadline.IsZero() {
		sent.TimeLimit = durationpb.New(max(frame.deadline.Sub(now), time.Millisecond))
	}
	return sent
}
