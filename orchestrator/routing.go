package orchestrator

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/contract"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// routing is what a worker knows of tasks: which contracts it can run, by
// which handlers, from which queues.
type routing struct {
	client *Client
	byType map[string]*route
	queues []*Queue
	names  []string // of queues
	// schedules are the numbers of those that the mux declares, never nil.
	schedules []int32

	// contracts changes when new ones appear in the database.
	contracts atomic.Pointer[knownContracts]
	mu        sync.Mutex      // held to change contracts
	paused    map[string]bool // task types; guarded by mu
	refused   map[int32]bool  // contracts that were warned about
	logger    *slog.Logger
}

type knownContracts struct {
	byID map[int32]*route
	// newest and foreign describe the same set to the database, without what
	// is paused.
	newest  int32
	foreign []int32
	// unknown are the foreign ones that are not only paused.
	unknown []int32
	// types are the names of every contract's task type, known or not.
	types map[int32]string
	// attempts are the max_attempts of every contract there is, known or not,
	// slots their limits of concurrency, and blocking those whose dead letters
	// hold up their groups: for the leader.
	attempts map[int32]int16
	rates    map[string]*RateLimit // by bucket
	slots    map[int32]int16
	blocking []int32
	// ids are the contracts in byID, and totals their limits.
	ids    []int32
	totals []int16
	// slotsOf are the limits of task types.
	slotsOf map[string]int16
}

// newRouting asks deliveries for their handler if there are webhooks to tell.
func newRouting(
	ctx context.Context, client *Client, mux *Mux, queues []string, logger *slog.Logger, deliveries func() (Handler, error),
) (*routing, error) {
	if len(mux.routes) == 0 {
		return nil, errors.New("orchestrator: the mux has no handlers: call the generated Register before the worker runs")
	}
	r := &routing{client: client, byType: map[string]*route{}, refused: map[int32]bool{}, logger: logger}
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
	var err error
	if r.schedules, err = client.declareSchedules(ctx, mux.schedules); err != nil {
		return nil, err
	}
	if r.tells() && deliveries != nil {
		if err := r.deliver(ctx, queues, deliveries); err != nil {
			return nil, err
		}
	}
	return r, r.chooseQueues(queues)
}

// tells says whether a task that this worker runs has a webhook.
func (r *routing) tells() bool {
	for _, one := range r.contracts.Load().byID {
		if one.definition.OnFinish != nil {
			return true
		}
	}
	return false
}

// deliver adds the engine's own task type of deliveries. The mux's middleware
// is for the tasks of the spec.
func (r *routing) deliver(ctx context.Context, queues []string, deliveries func() (Handler, error)) error {
	if len(queues) > 0 && !slices.Contains(queues, WebhookQueue) {
		r.logger.Warn("this worker's queues leave out the deliveries to webhooks; they wait for another worker", "queue", WebhookQueue)
		return nil
	}
	handler, err := deliveries()
	if err != nil {
		return err
	}
	r.byType[delivery.Name] = &route{definition: delivery, handler: handler}
	return r.learn(ctx)
}

// learn stores the contracts of declared task types and reads which others
// there are.
func (r *routing) learn(ctx context.Context) error {
	if err := r.find(ctx); err != nil {
		return err
	}
	var declared []store.Contract
	for _, one := range r.byType {
		if one.definition == nil {
			continue
		}
		id, err := r.client.contractID(ctx, one.definition)
		if err != nil {
			return err
		}
		stored, err := r.client.contract(ctx, one.definition, r.client.store.ContractID)
		if err != nil {
			return err
		}
		stored.ID = id
		declared = append(declared, stored)
	}
	if err := r.client.store.UpdatePolicies(ctx, declared); err != nil {
		return err
	}
	return r.refresh(ctx)
}

// find tells the client the ids of the contracts that are stored already: of
// hundreds of task types it would ask for each.
func (r *routing) find(ctx context.Context) error {
	all, err := r.client.store.Contracts(ctx)
	if err != nil {
		return err
	}
	for _, stored := range all {
		one := r.byType[stored.Type]
		if one != nil && one.definition != nil && one.definition.Fingerprint == stored.Fingerprint {
			r.client.contracts.ids.Store(one.definition, stored.ID)
		}
	}
	return nil
}

// refresh reads the stored contracts anew.
func (r *routing) refresh(ctx context.Context) error {
	all, err := r.client.store.Contracts(ctx)
	if err != nil {
		return err
	}
	known := &knownContracts{
		byID: map[int32]*route{}, types: map[int32]string{}, attempts: map[int32]int16{}, rates: map[string]*RateLimit{},
		slots: map[int32]int16{}, slotsOf: map[string]int16{},
	}
	for _, stored := range all {
		definition, err := definitionOf(stored)
		if err != nil {
			return err
		}
		known.types[stored.ID] = stored.Type
		known.attempts[stored.ID] = int16(definition.Retry.maxAttempts())
		known.slots[stored.ID], known.slotsOf[stored.Type] = slotTotal(definition), slotTotal(definition)
		if definition.blocks() {
			known.blocking = append(known.blocking, stored.ID)
		}
		if one := r.accepts(stored, definition); one != nil {
			known.byID[stored.ID] = one
			known.ids, known.totals = append(known.ids, stored.ID), append(known.totals, slotTotal(one.definition))
			known.newest = max(known.newest, stored.ID)
			known.limit(taskBucket(stored.Type), one.definition.RateLimit)
			known.limit(queueBucket(one.definition.queueName()), one.definition.Queue.rateLimit())
		}
	}
	for _, stored := range all {
		if stored.ID < known.newest && known.byID[stored.ID] == nil {
			known.unknown = append(known.unknown, stored.ID)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.contracts.Store(known.without(r.paused))
	return nil
}

// without returns known with the contracts of paused types among the foreign.
func (k knownContracts) without(paused map[string]bool) *knownContracts {
	k.foreign = append([]int32{}, k.unknown...)
	for id := range k.byID {
		if paused[k.types[id]] {
			k.foreign = append(k.foreign, id)
		}
	}
	return &k
}

// pauseTypes leaves the tasks of some types alone, and only of those.
func (r *routing) pauseTypes(types map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if maps.Equal(types, r.paused) {
		return
	}
	r.paused = types
	r.contracts.Store(r.contracts.Load().without(types))
}

// limit notes what the newest contract says of a bucket.
func (k *knownContracts) limit(bucket string, by *RateLimit) {
	if by == nil {
		delete(k.rates, bucket)
	} else {
		k.rates[bucket] = by
	}
}

// works tells whether this worker claims from a lane.
func (r *routing) works(l lane) bool {
	return slices.Contains(r.names, l.Queue) && (l.Sublane == "" || r.byType[l.Sublane] != nil)
}

// shun leaves the tasks of a contract alone until the next refresh. Contract
// ids are drawn before their rows can be seen, so one that is lower than the
// newest known may have been missed. The route it returns has no handler.
func (r *routing) shun(contract int32) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := *r.contracts.Load(); !slices.Contains(known.unknown, contract) {
		known.unknown = append(slices.Clone(known.unknown), contract)
		r.contracts.Store(known.without(r.paused))
	}
	return &route{definition: &Definition{Name: "unknown"}}
}

// accepts returns the route for tasks of a stored contract, nil when this
// worker must leave them to others.
//
// Another version of a task's contract is accepted if every payload that it
// allows is one that the compiled version allows.
func (r *routing) accepts(stored store.Contract, definition *Definition) *route {
	one := r.byType[stored.Type]
	switch {
	case one == nil:
		return nil
	case one.definition == nil: // registered by name: takes any version
		return &route{definition: definition, handler: one.handler}
	case one.definition.Fingerprint == stored.Fingerprint:
		return one
	}
	why := contract.Accepts([]byte(one.definition.PayloadSchema), []byte(stored.PayloadSchema))
	if why == nil {
		return one
	}
	if !r.refused[stored.ID] {
		r.refused[stored.ID] = true
		r.logger.Warn("tasks of another version of this type wait for a worker that knows it", "type", stored.Type,
			"contract", stored.ID, "why", why)
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

// maxAttempts is how many attempts a task of a contract has; own is its own
// number, 0 for none.
func (w *Worker) maxAttempts(contract int32, own int16) int16 {
	known := w.routes.contracts.Load()
	if policy := w.control.policy(known.types[contract]); policy != nil && policy.MaxAttempts > 0 {
		return int16(policy.MaxAttempts)
	}
	if own > 0 {
		return own
	}
	if n, ok := known.attempts[contract]; ok {
		return n
	}
	return DefaultMaxAttempts
}

// slotTotal is how many slots the limit of a contract's tasks has.
func (r *routing) slotTotal(contract int32) int16 { return r.contracts.Load().slots[contract] }

// slotTotals is how many slots limits have, by their keys, which begin with
// the task type.
func (r *routing) slotTotals(limits []string) []int16 {
	known := r.contracts.Load()
	totals := make([]int16, len(limits))
	for i, key := range limits {
		taskType, _, _ := strings.Cut(key, "[")
		totals[i] = known.slotsOf[taskType]
	}
	return totals
}
