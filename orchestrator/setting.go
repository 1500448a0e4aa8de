package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/nearest"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// SettingOption says more about a change of a queue or a task type.
type SettingOption func(*settingOptions)

type settingOptions struct{ evenUnknown bool }

// EvenUnknown lets a queue or a task type be changed that the database has
// never heard of, as before the first deploy of a program that uses it.
// Without it a wrong name is an error.
func EvenUnknown() SettingOption { return func(o *settingOptions) { o.evenUnknown = true } }

// UnknownQueueError says that no task type is declared in a queue, no worker
// works it, no task waits in it and nothing about it was changed.
type UnknownQueueError struct {
	Queue string
	Near  []string // known queues with similar names, nearest first
	None  bool     // no queue at all is known
}

func (e *UnknownQueueError) Error() string {
	text := fmt.Sprintf("orchestrator: unknown queue %q", e.Queue)
	switch {
	case e.None:
		return text + ": no queue is known in this database yet; start a worker of your program once"
	case len(e.Near) > 0:
		return text + "; did you mean " + strings.Join(e.Near, " or ") + "?"
	}
	return text + ": no task is declared in it, and no worker works it"
}

// Is matches [ErrUnknownQueue].
func (e *UnknownQueueError) Is(target error) bool { return target == ErrUnknownQueue }

// PauseQueue stops all workers from starting tasks of a queue, until
// [Client.ResumeQueue]. Tasks that run go on; those that workers have claimed
// ahead go back, without an attempt spent. Enqueueing goes on. Workers know
// at once, or within half a second where notifications do not reach them.
// Pausing what is paused does nothing.
func (c *Client) PauseQueue(ctx context.Context, queue string, opts ...SettingOption) error {
	return c.change(ctx, c.checkQueue(ctx, queue, opts), c.store.PauseQueue, queue)
}

// ResumeQueue lets workers start the tasks of a queue again, at once. Resuming
// what is not paused does nothing.
func (c *Client) ResumeQueue(ctx context.Context, queue string) error {
	return c.change(ctx, c.checkQueue(ctx, queue, nil), c.store.ResumeQueue, queue)
}

// PauseType is [Client.PauseQueue] for the tasks of one type, in whatever
// queue.
func (c *Client) PauseType(ctx context.Context, taskType string, opts ...SettingOption) error {
	return c.change(ctx, c.checkType(ctx, taskType, opts), c.store.PauseType, taskType)
}

// ResumeType lets workers start tasks of a type again, at once.
func (c *Client) ResumeType(ctx context.Context, taskType string) error {
	return c.change(ctx, c.checkType(ctx, taskType, nil), c.store.ResumeType, taskType)
}

// QueueConcurrency is how many tasks of a queue run at a time: on one worker,
// and on all together. 0 leaves one as it is.
type QueueConcurrency struct {
	PerWorker int
	Total     int
}

// SetQueueConcurrency changes the limits of a queue on all workers, until they
// are changed again or [Client.ResetQueueConcurrency]. A worker's
// WORKER_POOL_SIZE still bounds what it runs. Where more runs than a lower
// limit allows, that runs out.
func (c *Client) SetQueueConcurrency(ctx context.Context, queue string, limits QueueConcurrency, opts ...SettingOption) error {
	for _, limit := range []struct {
		name string
		n    int
	}{{"per_worker", limits.PerWorker}, {"total", limits.Total}} {
		if limit.n < 0 || limit.n > math.MaxInt32 {
			return fmt.Errorf("orchestrator: concurrency of queue %s: %s is %d: want 1 or more; to stop a queue, pause it", queue, limit.name, limit.n)
		}
	}
	if limits == (QueueConcurrency{}) {
		return fmt.Errorf("orchestrator: concurrency of queue %s: neither per_worker nor total is given", queue)
	}
	return c.change(ctx, c.checkQueue(ctx, queue, opts), func(ctx context.Context, queue string) error {
		return c.store.SetConcurrency(ctx, queue, int32(limits.PerWorker), int32(limits.Total))
	}, queue)
}

// ResetQueueConcurrency returns the limits of a queue to what is declared.
func (c *Client) ResetQueueConcurrency(ctx context.Context, queue string) error {
	return c.change(ctx, c.checkQueue(ctx, queue, nil), c.store.ResetConcurrency, queue)
}

// change does what is checked, and tells workers.
func (c *Client) change(ctx context.Context, checked error, do func(context.Context, string) error, name string) error {
	if checked != nil {
		return checked
	}
	if err := do(ctx, name); err != nil {
		return err
	}
	c.wakeups.changed()
	return nil
}

func evenUnknown(opts []SettingOption) bool {
	var o settingOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o.evenUnknown
}

func (c *Client) checkQueue(ctx context.Context, name string, opts []SettingOption) error {
	if name == "" {
		return errors.New("orchestrator: which queue? Its name is empty")
	}
	if err := checkText([]byte(name)); err != nil {
		return fmt.Errorf("orchestrator: queue name: %w", err)
	}
	if evenUnknown(opts) {
		return nil
	}
	queues, err := c.store.Queues(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(queues))
	for i, q := range queues {
		if names[i] = q.Name; q.Name == name {
			return nil
		}
	}
	return &UnknownQueueError{Queue: name, Near: nearest.Names(name, names, 3), None: len(names) == 0}
}

func (c *Client) checkType(ctx context.Context, name string, opts []SettingOption) error {
	if name == "" {
		return errors.New("orchestrator: which task type? Its name is empty")
	}
	if err := checkText([]byte(name)); err != nil {
		return fmt.Errorf("orchestrator: task type: %w", err)
	}
	if evenUnknown(opts) {
		return nil
	}
	types, err := c.store.Types(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(types))
	for i, t := range types {
		if names[i] = t.Name; t.Name == name {
			return nil
		}
	}
	return fmt.Errorf("orchestrator: %s: %w", name, &UnknownTaskError{Type: name, Near: nearest.Names(name, names, 3), None: len(names) == 0})
}

// QueueInfo is a queue as it is declared, and what is changed of it at run
// time.
type QueueInfo struct {
	Queue     string    `json:"queue"`
	PausedAt  time.Time `json:"paused_at,omitzero"` // zero: it is not paused
	PerWorker int       `json:"per_worker"`         // as it holds now
	Total     int       `json:"total,omitzero"`     // 0: unlimited
	// Declared is what is declared of what is changed; its zeros are not
	// changed.
	Declared QueueConcurrency `json:"-"`
	Changed  bool             `json:"changed"` // limits are not as declared
	Granted  int              `json:"granted"` // of Total, to workers
	Workers  int              `json:"workers"` // alive, that work it
}

// Queues returns all queues that the database knows, by name: those that are
// declared, worked, changed, or hold tasks.
func (c *Client) Queues(ctx context.Context) ([]QueueInfo, error) {
	records, err := c.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]QueueInfo, 0, len(records))
	for _, r := range records {
		declared, err := declaredQueue(r)
		if err != nil {
			return nil, err
		}
		info := QueueInfo{
			Queue: r.Name, PerWorker: declared.PerWorker, Total: declared.Total, Declared: declared,
			Changed: r.PerWorker > 0 || r.Total > 0, Granted: r.Granted, Workers: r.Workers,
		}
		if !r.PausedAt.IsZero() {
			info.PausedAt = r.PausedAt.UTC()
		}
		if r.PerWorker > 0 {
			info.PerWorker = r.PerWorker
		}
		if r.Total > 0 {
			info.Total = r.Total
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b QueueInfo) int { return strings.Compare(a.Queue, b.Queue) })
	return infos, nil
}

// declaredQueue is a queue's limits as the newest contract in it has them.
func declaredQueue(r store.QueueRecord) (QueueConcurrency, error) {
	limits := QueueConcurrency{PerWorker: DefaultQueueConcurrency}
	if r.Declared == "" {
		return limits, nil
	}
	d, err := definitionOf(store.Contract{Type: "a task of queue " + r.Name, Policy: r.Declared})
	if err != nil {
		return limits, err
	}
	if d.Queue != nil {
		if d.Queue.PerWorker > 0 {
			limits.PerWorker = d.Queue.PerWorker
		}
		limits.Total = d.Queue.Total
	}
	return limits, nil
}

// TypeInfo is a task type, and what is changed of it at run time.
type TypeInfo struct {
	Type            string    `json:"type"`
	Queue           string    `json:"queue"`              // as its newest contract has it; "" before the first
	PausedAt        time.Time `json:"paused_at,omitzero"` // zero: it is not paused
	Policy          *Policy   `json:"policy,omitempty"`   // nil: nothing is overridden
	PolicyExpiresAt time.Time `json:"policy_expires_at,omitzero"`
}

// Types returns all task types that the database knows, by name.
func (c *Client) Types(ctx context.Context) ([]TypeInfo, error) {
	records, err := c.store.Types(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]TypeInfo, 0, len(records))
	for _, r := range records {
		policy, err := policyOf([]byte(r.Policy))
		if err != nil {
			return nil, fmt.Errorf("orchestrator: stored policy of %s: %w", r.Name, err)
		}
		info := TypeInfo{Type: r.Name, Queue: r.Queue, Policy: policy}
		if !r.PausedAt.IsZero() {
			info.PausedAt = r.PausedAt.UTC()
		}
		if policy != nil {
			info.PolicyExpiresAt = r.PolicyExpiresAt.UTC()
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b TypeInfo) int { return strings.Compare(a.Type, b.Type) })
	return infos, nil
}
