package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &cli{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		environ:     os.Environ(),
		interactive: term.IsTerminal(int(os.Stdin.Fd())),
	}
	os.Exit(c.run(ctx, os.Args[1:]))
}
