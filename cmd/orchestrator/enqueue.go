package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

type enqueuedJSON struct {
	ID       orchestrator.TaskID `json:"id"`
	Type     string              `json:"type"`
	Existing bool                `json:"existing"`         // the idempotency key was taken; id is the task that has it
	Result   rawJSON             `json:"result,omitempty"` // with --wait
}

// rawJSON is JSON that is printed as it is.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func (c *cli) enqueueCommand() *cobra.Command {
	var o enqueueFlags
	cmd := c.jsonFlag(&cobra.Command{
		Use:   "enqueue TYPE",
		Short: "Enqueue a task by hand and print its id",
		Long: `Enqueue a task by hand and print its id.

The payload is checked against the newest contract of the type that is stored
in the database: workers bring it when they start.`,
		Example: `  orchestrator enqueue email:send --payload '{"to": "ada@example.com"}'
  orchestrator enqueue report:digest --payload @digest.json --wait
  generate-payload | orchestrator enqueue email:send --payload -`,
		GroupID: groupRun,
		Args:    arguments("TYPE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			payload, err := c.payload(o.payload)
			if err != nil {
				return err
			}
			return c.withClient(cmd.Context(), func(client *orchestrator.Client) error {
				ref, err := client.EnqueueRaw(cmd.Context(), args[0], payload, o.options(cmd)...)
				if err != nil {
					return err
				}
				return c.printEnqueued(cmd, client, args[0], ref, o.wait)
			})
		},
	})
	o.register(cmd)
	return cmd
}

type enqueueFlags struct {
	payload, queue, key string
	priority            int
	delay               delay
	wait                bool
}

func (o *enqueueFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.payload, "payload", "{}", "JSON, or @FILE, or - for standard input")
	f.IntVar(&o.priority, "priority", 0, "-100 to 100, higher runs first (default: as declared)")
	f.Var(&o.delay, "delay", "wait this long before the first attempt: 90s, 2h, 7d")
	f.StringVar(&o.queue, "queue", "", "another queue than the declared one")
	f.StringVar(&o.key, "key", "", "idempotency key (default: of the declared fields)")
	f.BoolVar(&o.wait, "wait", false, "wait until the task has finished and print its result")
}

func (o *enqueueFlags) options(cmd *cobra.Command) []orchestrator.EnqueueOption {
	var options []orchestrator.EnqueueOption
	if cmd.Flags().Changed("priority") {
		options = append(options, orchestrator.WithPriority(o.priority))
	}
	if o.delay > 0 {
		options = append(options, orchestrator.WithDelay(time.Duration(o.delay)))
	}
	if o.queue != "" {
		options = append(options, orchestrator.WithQueue(o.queue))
	}
	if o.key != "" {
		options = append(options, orchestrator.WithIdempotencyKey(o.key))
	}
	return options
}

func (c *cli) printEnqueued(cmd *cobra.Command, client *orchestrator.Client, taskType string, ref orchestrator.TaskRef, wait bool) error {
	done := enqueuedJSON{ID: ref.ID(), Type: taskType, Existing: ref.Existing()}
	if ref.Existing() && !c.json {
		fmt.Fprintf(c.stderr, "task %s was there before, with the same idempotency key\n", ref.ID())
	}
	switch {
	case !wait && c.json:
		return c.printJSON(done)
	case !wait:
		_, err := fmt.Fprintln(c.stdout, ref.ID())
		return err
	case !c.json:
		fmt.Fprintf(c.stderr, "task %s is enqueued; waiting\n", ref.ID())
	}
	result, err := client.WaitResult(cmd.Context(), ref)
	if err != nil {
		if cmd.Context().Err() != nil {
			return fmt.Errorf("task %s goes on: look at it with `orchestrator tasks show %s`", ref.ID(), ref.ID())
		}
		return err
	}
	if len(result) == 0 {
		result = []byte("null")
	}
	if done.Result = result; c.json {
		return c.printJSON(done)
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", result)
	return err
}

// payload reads what --payload names.
func (c *cli) payload(value string) ([]byte, error) {
	switch {
	case value == "-":
		return readPayload(c.stdin)
	case strings.HasPrefix(value, "@"):
		file, err := os.Open(value[1:])
		if err != nil {
			return nil, fmt.Errorf("--payload: %w", err)
		}
		defer func() { _ = file.Close() }() // only read from
		return readPayload(file)
	}
	return []byte(value), nil
}

// readPayload reads a little more than a payload may have, so that the
// engine's own error says what is wrong with one that is too large.
func readPayload(r io.Reader) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(r, orchestrator.MaxPayloadSize+1))
	if err != nil {
		return nil, fmt.Errorf("--payload: %w", err)
	}
	return payload, nil
}

// delay is a duration as the spec writes them: Go's, and d for days.
type delay time.Duration

// String implements pflag.Value.
func (d *delay) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

// Type implements pflag.Value.
func (d *delay) Type() string { return "duration" }

// Set implements pflag.Value.
func (d *delay) Set(text string) error {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.Atoi(days)
	if err != nil || text == "" || n < 0 || n > 36_500 {
		return errors.New("want a duration such as 90s, 2h or 1d12h")
	}
	var part time.Duration
	if rest != "" {
		if part, err = time.ParseDuration(rest); err != nil || part < 0 {
			return errors.New("want a duration such as 90s, 2h or 1d12h")
		}
	}
	*d = delay(time.Duration(n)*24*time.Hour + part)
	return nil
}
