package contest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"github.com/task-orchestrator/task-orchestrator/tests/bench/lab"
)

// asynqConcurrency is how many tasks run at a time; its default is one a core.
const asynqConcurrency = 100

// asynqQueue is the queue that is used unless another is named.
const asynqQueue = "default"

func asynqOnRedis() Contestant {
	return Contestant{
		Name: Asynq,
		About: func(ctx context.Context) string {
			return fmt.Sprintf("Asynq %s on %s, **not durable**: Redis keeps nothing on disk here, as nothing is asked of it; Concurrency %d; finished tasks are deleted",
				moduleVersion("github.com/hibiken/asynq"), redisVersion(ctx), asynqConcurrency)
		},
		missing: func(context.Context, *lab.Lab) error {
			if _, err := exec.LookPath("redis-server"); err != nil {
				return errors.New("redis-server is not on PATH")
			}
			return nil
		},
		jobs:  jobs(openAsynq),
		place: startRedis,
		left: func(_ context.Context, p Place) (int64, error) {
			inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: p.URL()})
			defer func() { _ = inspector.Close() }()
			info, err := inspector.GetQueueInfo(asynqQueue)
			if err != nil {
				return 0, fmt.Errorf("bench: look into Asynq's queue: %w", err)
			}
			return int64(info.Size), nil
		},
	}
}

func redisVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return "a Redis that is absent"
	}
	return string(bytes.TrimSpace(out))
}

// redis is a server of its own, on loopback, that keeps nothing.
type redis struct {
	cmd  *exec.Cmd
	addr string
}

func startRedis(ctx context.Context, l *lab.Lab) (Place, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bench: a port for Redis: %w", err)
	}
	r := &redis{addr: listener.Addr().String()}
	_, port, _ := net.SplitHostPort(r.addr)
	if err := listener.Close(); err != nil {
		return nil, fmt.Errorf("bench: a port for Redis: %w", err)
	}
	r.cmd = exec.CommandContext(context.WithoutCancel(ctx), "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	r.cmd.Dir = l.Work()
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start Redis: %w", err)
	}
	if err := r.await(ctx); err != nil {
		return nil, errors.Join(err, r.Drop())
	}
	return r, nil
}

// await waits until Redis takes connections.
func (r *redis) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("bench: Redis does not answer: %w", err)
		}
	}
}

// URL is host and port.
func (r *redis) URL() string { return r.addr }

// Settle has nothing to do.
func (r *redis) Settle(context.Context, ...string) error { return nil }

// Observe tells nothing: there is no PostgreSQL.
func (r *redis) Observe(_ context.Context, do func() error) (lab.Observed, error) {
	return lab.Observed{}, do()
}

// Drop ends the server.
func (r *redis) Drop() error {
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("bench: stop Redis: %w", err)
	}
	_ = r.cmd.Wait() // how it takes the signal is its own affair
	return nil
}

type asynqClient struct {
	redis  asynq.RedisClientOpt
	client *asynq.Client
}

func openAsynq(_ context.Context, spec Spec) (queue, error) {
	q := &asynqClient{redis: asynq.RedisClientOpt{Addr: spec.URL}}
	q.client = asynq.NewClient(q.redis)
	return q, nil
}

func (q *asynqClient) close() error                  { return q.client.Close() }
func (q *asynqClient) prepare(context.Context) error { return nil }

// asynqAtATime is how many goroutines enqueue a batch, as Asynq has no bulk.
const asynqAtATime = 32

func (q *asynqClient) enqueueMany(ctx context.Context, n int) (int, error) {
	var group errgroup.Group
	group.SetLimit(asynqAtATime)
	for i := range n {
		group.Go(func() error { return q.enqueue(ctx, "bench:noop", asynqNoop{UserID: userID(i), Template: template}) })
	}
	return n, group.Wait()
}

type asynqNoop struct {
	UserID   int64  `json:"user_id"`
	Template string `json:"template"`
}

func (q *asynqClient) enqueue(ctx context.Context, kind string, payload any) error {
	text, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	_, err = q.client.EnqueueContext(ctx, asynq.NewTask(kind, text))
	return err
}

func (q *asynqClient) enqueueOne(ctx context.Context) error {
	return q.enqueue(ctx, "bench:noop", asynqNoop{UserID: userID(0), Template: template})
}

func (q *asynqClient) enqueueInTx(context.Context) (time.Duration, error) {
	return 0, errors.New("asynq has no transactions with PostgreSQL")
}

func (q *asynqClient) enqueueProbe(ctx context.Context) error {
	return q.enqueue(ctx, "bench:probe", time.Now().UnixNano())
}

func (q *asynqClient) work(_ context.Context, h handlers) (stop func() error, err error) {
	mux := asynq.NewServeMux()
	mux.HandleFunc("bench:noop", func(_ context.Context, t *asynq.Task) error {
		var payload asynqNoop
		if err := json.Unmarshal(t.Payload(), &payload); err != nil {
			return err
		}
		h.noop()
		return nil
	})
	mux.HandleFunc("bench:probe", func(_ context.Context, t *asynq.Task) error {
		var sent int64
		if err := json.Unmarshal(t.Payload(), &sent); err != nil {
			return err
		}
		h.probe(time.Unix(0, sent))
		return nil
	})
	server := asynq.NewServer(q.redis, asynq.Config{Concurrency: asynqConcurrency, LogLevel: asynq.ErrorLevel})
	if err := server.Start(mux); err != nil {
		return nil, err
	}
	return func() error {
		server.Shutdown()
		return nil
	}, nil
}
