package uflow

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/resolver"
)

// Calls use gRPC's own round_robin on one channel. A stream has a channel for each connection, and round_robin would give that the
// server that connects first, which is often the same; it would also hide that the stream's server has asked for the end of the
// connection. So a stream uses pick_first, with the addresses turned by one place for each connection of the process.
const (
	roundRobinCalls   = `{"loadBalancingConfig": [{"round_robin": {}}]}`
	roundRobinStreams = `{"loadBalancingConfig": [{"` + inTurnName + `": {}}]}`
	inTurnName        = "uflow_in_turn"
)

// turns counts connections. It begins at a random place, so that many processes with one stream do not choose the same server.
var turns atomic.Uint64

func init() {
	turns.Store(uint64(rand.Uint32()))
	balancer.Register(inTurnBuilder{})
}

type inTurnBuilder struct{}

func (inTurnBuilder) Name() string { return inTurnName }

func (inTurnBuilder) Build(channel balancer.ClientConn, options balancer.BuildOptions) balancer.Balancer {
	return &inTurn{balancer.Get(pickfirst.Name).Build(channel, options), turns.Add(1)}
}

type inTurn struct {
	balancer.Balancer
	turn uint64
}

// UpdateClientConnState sorts the addresses, because DNS gives them in any order, and begins with the one whose turn it is.
func (b *inTurn) UpdateClientConnState(state balancer.ClientConnState) error {
	endpoints := slices.Clone(state.ResolverState.Endpoints)
	slices.SortFunc(endpoints, func(x, y resolver.Endpoint) int { return cmp.Compare(address(x), address(y)) })
	if count := uint64(len(endpoints)); count > 0 {
		first := b.turn % count
		endpoints = slices.Concat(endpoints[first:], endpoints[:first])
	}
	state.ResolverState.Endpoints, state.ResolverState.Addresses, state.BalancerConfig = endpoints, nil, nil
	return b.Balancer.UpdateClientConnState(state)
}

func address(endpoint resolver.Endpoint) string {
	if len(endpoint.Addresses) == 0 {
		return ""
	}
	return endpoint.Addresses[0].Addr
}
