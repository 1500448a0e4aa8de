package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// routing is what a worker knows of tasks: which contracts it can run, by
// which handlers, from which queues.
type routing struct {
	client *Client
	byType map[string]*route
	queues []*Queue
	names  []string // of queues

	// contracts changes when new ones appear in the database.
	contracts atomic.Pointer[knownContracts]
}

type knownContracts struct {
	byID map[int32]*route
	// newest and foreign describe the same set to the database.
	newest  int32
	foreign []int32
	// attempts are the max_attempts of every contract there is, known or not,
	// for the leader.
	attempts map[int32]int16
}

func newRouting(ctx context.Context, client *Client, mux *Mux, queues []string) (*routing, error) {
	if len(mux.routes) == 0 {
		return nil, errors.New("orchestrator: the mux has no handlers: call the generated Register before the worker runs")
	}
	if len(mux.schedules) > 0 {
		return nil, fmt.Errorf("orchestrator: schedule %s: %w", mux.schedules[0].Name, errUnsupported)
	}
	r := &routing{client: client, byType: map[string]*route{}}
	for name, one := range mux.routes {
		wrapped := &route{definition: one.definition, handler: one.handler}
		for _, middleware := range slices.Backward(mux.middleware) {
			wrapped.handler = middleware(wrapped.handler)
		}
		r.byType[name] = wrapped
	}
	if err := r.learn(ctx); err != nil {
		return nil, err
	}
	return r, r.chooseQueues(queues)
}

// learn stores the contracts of declared task types and reads which others
// there are.
func (r *routing) learn(ctx context.Context) error {
	for _, one := range r.byType {
		if one.definition == nil {
			continue
		}
		if err := one.definition.supported(); err != nil {
			return fmt.Errorf("orchestrator: %w", err)
		}
		id, err := r.client.contractID(ctx, one.definition)
		if err != nil {
			return err
		}
		contract, err := contractOf(one.definition)
		if err != nil {
			return err
		}
		contract.ID = id
		if err := r.client.store.UpdatePolicy(ctx, contract); err != nil {
			return err
		}
	}
	return r.refresh(ctx)
}

// refresh reads the stored contracts anew.
func (r *routing) refresh(ctx context.Context) error {
	all, err := r.client.store.Contracts(ctx)
	if err != nil {
		return err
	}
	known := &knownContracts{byID: map[int32]*route{}, foreign: []int32{}, attempts: map[int32]int16{}}
	for _, contract := range all {
		stored, err := definitionOf(contract)
		if err != nil {
			return err
		}
		known.attempts[contract.ID] = int16(stored.Retry.maxAttempts())
		if one := r.accepts(contract, stored); one != nil {
			known.byID[contract.ID] = one
			known.newest = max(known.newest, contract.ID)
		}
	}
	for _, contract := range all {
		if contract.ID < known.newest && known.byID[contract.ID] == nil {
			known.foreign = append(known.foreign, contract.ID)
		}
	}
	r.contracts.Store(known)
	return nil
}

// accepts returns the route for tasks of a stored contract, nil when this
// worker must leave them to others.
func (r *routing) accepts(contract store.Contract, stored *Definition) *route {
	one := r.byType[contract.Type]
	switch {
	case one == nil:
		return nil
	case one.definition == nil: // registered by name: takes any version
		return &route{definition: stored, handler: one.handler}
	case one.definition.Fingerprint == contract.Fingerprint:
		return one
	}
	return nil
}

func (r *routing) chooseQueues(names []string) error {
	byName := map[string]*Queue{}
	for _, one := range r.contracts.Load().byID {
		q := one.definition.Queue
		if q == nil {
			q = &Queue{Name: DefaultQueue}
		}
		byName[q.Name] = q
	}
	if len(names) == 0 {
		for name := range byName {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return errors.New("orchestrator: no queue to work: no task of the registered types was ever declared or enqueued; name queues in WorkerConfig.Queues")
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		q := byName[name]
		if q == nil {
			q = &Queue{Name: name}
		}
		r.queues = append(r.queues, q)
		r.names = append(r.names, name)
	}
	return nil
}

// maxAttempts is what a contract says about its tasks.
func (r *routing) maxAttempts(contract int32) int16 {
	if n, ok := r.contracts.Load().attempts[contract]; ok {
		return n
	}
	return DefaultMaxAttempts
}
