package uflow

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

func TestPausesDoubleUpToTheLongestAndAreRandom(t *testing.T) {
	backoff := Backoff{Initial: 100 * time.Millisecond, Max: 5 * time.Second}
	for tries, want := range []int{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		if got := backoff.limit(tries); got != time.Duration(want)*time.Millisecond {
			t.Errorf("after %d tries: %v", tries, got)
		}
	}
	if got := backoff.limit(1 << 30); got != 5*time.Second {
		t.Errorf("after many tries: %v", got)
	}
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		pause := backoff.pause(3)
		least, most = min(least, pause), max(most, pause)
	}
	// 1000 random pauses all miss the lowest or the highest 5% once in 10²² runs.
	if least > 40*time.Millisecond || most < 760*time.Millisecond || most > 800*time.Millisecond {
		t.Errorf("1000 pauses lie between %v and %v", least, most)
	}
}

func TestTheMessageHasEveryFieldOfTheRequestAndSharesTheImage(t *testing.T) {
	request := Encoded("cloth", []byte("image"))
	request.Sequence = 99
	request.Timestamp = timestamppb.Now()
	request.Version = 3
	request.Options = &uflowpb.DetectOptions{Epsilon: proto.Float64(1)}
	request.Outputs = &uflowpb.Outputs{Latents: true}
	request.TimeLimit = durationpb.New(time.Hour)
	request.Priority = uflowpb.Priority_PRIORITY_HIGH
	request.SignificantBits = proto.Uint32(12)
	fields := request.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.Name() != "raw" && !request.ProtoReflect().Has(field) {
			t.Errorf("this test does not set %s", field.Name())
		}
	}
	before := proto.CloneOf(request)
	now := time.Now()
	sent := message(&frame{sequence: 7, request: request, deadline: now.Add(time.Second)}, now)
	if !proto.Equal(request, before) {
		t.Error("the request has changed")
	}
	request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		same := sent.ProtoReflect().Get(field).Equal(value)
		if changed := field.Name() == "sequence" || field.Name() == "time_limit"; same == changed {
			t.Errorf("%s: %v became %v", field.Name(), value, sent.ProtoReflect().Get(field))
		}
		return true
	})
	if sent.GetSequence() != 7 || sent.GetTimeLimit().AsDuration() != time.Second {
		t.Errorf("sequence %d, time limit %v", sent.GetSequence(), sent.GetTimeLimit().AsDuration())
	}
	if &sent.GetEncoded()[0] != &request.GetEncoded()[0] {
		t.Error("the image was copied")
	}
}
