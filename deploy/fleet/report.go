package main

import (
	"slices"
	"sync"
	"time"
)

// report adds up what streams and callers saw.
type report struct {
	mu      sync.Mutex
	streams []streamResult
	callers []callResult
}

func (r *report) addStream(seen streamResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams = append(r.streams, seen)
}

func (r *report) addCaller(seen callResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.callers = append(r.callers, seen)
}

// summary is the printed line. Times are in milliseconds.
type summary struct {
	Sent       int     `json:"sent"`
	Verdicts   int     `json:"verdicts"`
	Lost       int     `json:"lost"`
	Twice      int     `json:"twice"`
	Failed     int     `json:"failed"`
	Wrong      int     `json:"wrong"`
	Disorder   int     `json:"out_of_order"`
	Reconnects int     `json:"reconnects"`
	Silence    float64 `json:"longest_silence_ms"`
	FrameP50   float64 `json:"frame_p50_ms"`
	FrameP99   float64 `json:"frame_p99_ms"`
	Calls      int     `json:"calls"`
	CallsBad   int     `json:"calls_failed_or_wrong"`
	CallP50    float64 `json:"call_p50_ms"`
	CallP99    float64 `json:"call_p99_ms"`
	CallMax    float64 `json:"call_max_ms"`
}

func (r *report) summary() summary {
	var made summary
	var silence time.Duration
	var late, took []time.Duration
	for _, seen := range r.streams {
		made.Sent += seen.sent
		made.Verdicts += seen.verdicts
		made.Lost += seen.sent - seen.verdicts
		made.Twice += seen.twice
		made.Failed += seen.failed
		made.Wrong += seen.wrong
		made.Disorder += seen.disorder
		made.Reconnects += seen.reconnects
		silence = max(silence, seen.silence)
		late = append(late, seen.late...)
	}
	for _, seen := range r.callers {
		made.Calls += seen.calls
		made.CallsBad += seen.failed + seen.wrong
		took = append(took, seen.took...)
	}
	slices.Sort(late)
	slices.Sort(took)
	made.Silence = milliseconds(silence)
	made.FrameP50, made.FrameP99 = quantile(late, 0.5), quantile(late, 0.99)
	made.CallP50, made.CallP99, made.CallMax = quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1)
	return made
}

// clean tells whether each frame and each call has exactly one verdict, the right one.
func (r *report) clean() bool {
	made := r.summary()
	return made.Lost == 0 && made.Twice == 0 && made.Failed == 0 && made.Wrong == 0 && made.Disorder == 0 && made.CallsBad == 0
}

func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return milliseconds(sorted[int(share*float64(len(sorted)-1))])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
