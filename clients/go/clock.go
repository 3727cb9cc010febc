package uflow

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// watch answers late frames, drops connections that stall, and ends the stream after a long outage.
func (s *Stream) watch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.toClock:
		case <-s.ctx.Done():
			return
		}
		now := time.Now()
		if next := s.enforce(now); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(next.Sub(now))
		}
	}
}

// enforce acts on every limit that is over and returns the next one, or zero.
func (s *Stream) enforce(now time.Time) (next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// over tells whether a limit is over, and else notes it.
	over := func(limit time.Time) bool {
		if !limit.After(now) {
			return true
		}
		if next.IsZero() || limit.Before(next) {
			next = limit
		}
		return false
	}
	for len(s.waiting) > 0 && !s.waiting[0].deadline.IsZero() && over(s.waiting[0].deadline) {
		s.answer(nil, &Error{Code: codes.DeadlineExceeded, Message: "the frame was not answered within its time limit"})
	}
	if limit := s.config.StallTimeout; limit > 0 && s.drop != nil && (s.owed > 0 || s.leaving) && over(s.heard.Add(limit)) {
		s.drop(&Error{Code: codes.Unavailable, Message: fmt.Sprintf("the server owes answers and sent none for %v", limit)})
		s.drop = nil
	}
	if limit := s.config.MaxOutage; limit > 0 && !s.lost.IsZero() && over(s.lost.Add(limit)) {
		message := fmt.Sprintf("no working connection for %v; the last failure: %s", limit, s.reason.Message)
		s.fail(&Error{Code: s.reason.Code, Message: message, cause: s.reason})
	}
	return next
}
