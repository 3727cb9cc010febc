package uflow

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff bounds the pauses between tries. The pause before try n is random between 0 and Initial·2ⁿ, at most Max ("full jitter"), so
// that clients which lost the same server do not return at the same moment.
type Backoff struct {
	// Initial bounds the first pause. 0 means 100 ms.
	Initial time.Duration
	// Max bounds every pause. 0 means 5 s.
	Max time.Duration
}

// limit is the longest pause after a number of failed tries.
func (b Backoff) limit(tries int) time.Duration {
	limit := b.Initial
	for range tries {
		if limit >= b.Max {
			break
		}
		limit *= 2
	}
	return min(limit, b.Max)
}

func (b Backoff) pause(tries int) time.Duration {
	return rand.N(b.limit(tries) + 1)
}

// sleep returns false if the context ends first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
