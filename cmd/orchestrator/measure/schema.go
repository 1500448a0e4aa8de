package measure

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// ErrLeftBehind says that the schema could not be dropped; the error around it
// names the statement that does.
var ErrLeftBehind = errors.New("the schema that was measured in is left behind")

const schemaPrefix = "orchestrator_bench_"

// dropTimeout bounds the end, which a cancelled context must not hinder.
const dropTimeout = 30 * time.Second

// inSchema runs do with a client in a schema that it makes and drops.
func inSchema(ctx context.Context, url string, config orchestrator.ClientConfig, do func(*orchestrator.Client) error) (err error) {
	config.Schema = newSchemaName()
	client, err := orchestrator.Open(ctx, url, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx), client)) }()
	if _, err := client.Migrator().Up(ctx); err != nil {
		return fmt.Errorf("make a schema to measure in (the role needs CREATE on the database): %w", err)
	}
	return do(client)
}

func newSchemaName() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return schemaPrefix + hex.EncodeToString(random[:])
}

func drop(ctx context.Context, client *orchestrator.Client) error {
	ctx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	statement := "DROP SCHEMA IF EXISTS " + client.Schema() + " CASCADE"
	if _, err := client.DB().ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%w; remove it with %s: %w", ErrLeftBehind, statement, err)
	}
	return nil
}

// LeftBehind lists the schemas of other runs: of those that were killed, and
// of those that go on. Somebody who knows which they are may drop them.
func LeftBehind(ctx context.Context, client *orchestrator.Client) (schemas []string, err error) {
	err = client.DB().NewRaw(`SELECT nspname FROM pg_namespace WHERE starts_with(nspname, ?) ORDER BY nspname`, schemaPrefix).Scan(ctx, &schemas)
	if err != nil {
		return nil, fmt.Errorf("look for schemas of other runs: %w", err)
	}
	return schemas, nil
}
