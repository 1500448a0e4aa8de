package devpg_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

// A database of its own for each test, from one migration.
func ExampleServer_Template() {
	ctx := context.Background()
	server, err := devpg.Shared(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	migrated, err := server.Template(ctx, "example", func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "CREATE TABLE greeting AS SELECT 'hello' AS word")
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	url, drop, err := migrated.Clone(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	var word string
	if err := conn.QueryRow(ctx, "SELECT word FROM greeting").Scan(&word); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(word)
	// Output: hello
}

// A crash in the middle of things: acknowledged commits survive it.
func ExampleServer_Restart() {
	ctx := context.Background()
	server, err := devpg.Start(ctx, devpg.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Stop()
	if err := server.Restart(ctx, devpg.Immediate); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("recovered")
	// Output: recovered
}
