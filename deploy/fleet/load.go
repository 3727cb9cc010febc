package main

import (
	"context"
	"errors"
	"io"
	"log"
	"math"
	"time"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// streamResult is what one stream saw.
type streamResult struct {
	sent, verdicts, twice, failed, wrong, disorder, reconnects int
	silence                                                    time.Duration
	late                                                       []time.Duration
}

// stream sends pictures at a fixed rate until the context ends, and then waits for the last verdict.
func stream(until context.Context, client *uflow.Client, s settings, pictures []picture, number int) streamResult {
	var seen streamResult
	opened, err := client.OpenStream(context.Background(), uflow.StreamConfig{
		StallTimeout: s.stall,
		OnDisconnect: func(lost uflow.Disconnected) {
			seen.reconnects++
			log.Printf("stream %d: %v; %d frames are sent again", number, lost.Err, lost.Unanswered)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer opened.Close()
	sent := make(chan time.Time, 1<<20)
	go send(until, opened, s, pictures, number, sent)
	for last := time.Now(); ; {
		result, err := opened.Recv(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Printf("stream %d: %v", number, err)
			break
		}
		seen.silence = max(seen.silence, time.Since(last))
		last = time.Now()
		select {
		case at := <-sent:
			seen.late = append(seen.late, time.Since(at))
			seen.verdicts++
		default:
			seen.twice++
			continue
		}
		if result.Sequence != uint64(seen.verdicts) {
			seen.disorder++
		}
		seen.judge(result, pictures[(number+int(result.Sequence))%len(pictures)])
	}
	seen.sent = seen.verdicts + len(sent)
	return seen
}

func send(until context.Context, opened *uflow.Stream, s settings, pictures []picture, number int, sent chan<- time.Time) {
	defer opened.CloseSend()
	ticks := time.NewTicker(time.Duration(float64(time.Second) / s.rate))
	defer ticks.Stop()
	for next := 1; ; next++ {
		select {
		case <-ticks.C:
		case <-until.Done():
			return
		}
		sent <- time.Now()
		picture := pictures[(number+next)%len(pictures)]
		if _, err := opened.Send(context.Background(), uflow.Encoded(s.model, picture.content)); err != nil {
			return
		}
	}
}

func (r *streamResult) judge(result *uflow.Result, want picture) {
	found, err := result.Detection()
	switch {
	case err != nil:
		r.failed++
		log.Printf("frame %d: %v", result.Sequence, err)
	case !same(found, want):
		r.wrong++
	}
}

func same(found *uflowpb.Detection, want picture) bool {
	return found.GetAnomalous() == want.anomalous && math.Abs(float64(found.GetScore())-want.score) <= 1e-4
}

// callResult is what one caller saw.
type callResult struct {
	calls, failed, wrong int
	took                 []time.Duration
}

// call makes single calls, one after the other, with a pause between them.
func call(until context.Context, client *uflow.Client, s settings, pictures []picture, number int) callResult {
	var seen callResult
	for until.Err() == nil {
		want := pictures[(number+seen.calls)%len(pictures)]
		started := time.Now()
		answer, err := client.Detect(context.Background(), uflow.Encoded(s.model, want.content))
		seen.took = append(seen.took, time.Since(started))
		seen.calls++
		switch {
		case err != nil:
			seen.failed++
			log.Printf("caller %d: %v", number, err)
		case !same(answer.GetDetection(), want):
			seen.wrong++
		}
		time.Sleep(20 * time.Millisecond)
	}
	return seen
}
