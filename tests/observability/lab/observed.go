package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Shop is the two processes of examples/observed.
type Shop struct {
	Web     *Web
	Worker  *Worker
	program string
	env     []string
}

// Web is the process that takes sign-ups.
type Web struct {
	*process
	URL string
}

// Worker is the process that sends messages.
type Worker struct {
	*process
	URL string // of /metrics and the like
}

// BuildShop builds examples/observed into dir and returns the program's path.
func BuildShop(ctx context.Context, dir string) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "observed")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, ".")
	build.Dir = filepath.Join(root, "examples", "observed")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build examples/observed: %w\n%s", err, out)
	}
	return path, nil
}

// OpenShop starts both processes of the program at path; env is added to this
// process's environment.
func OpenShop(ctx context.Context, path string, env ...string) (*Shop, error) {
	s := &Shop{program: path, env: append([]string{"APP_ADDR=127.0.0.1:0", "HTTP_ADDR=0", "LOG_FORMAT=json"}, env...)}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Shop) open(ctx context.Context) error {
	web, err := s.start("web")
	if err != nil {
		return err
	}
	s.Web = &Web{process: web}
	if s.Web.URL, err = web.expect(ctx, "web listens on "); err != nil {
		return err
	}
	worker, err := s.start("worker")
	if err != nil {
		return err
	}
	s.Worker = &Worker{process: worker}
	addr, err := worker.expect(ctx, `"msg":"serving HTTP","addr":"`)
	if err != nil {
		return err
	}
	addr, _, _ = strings.Cut(addr, `"`)
	s.Worker.URL = "http://" + addr
	_, err = worker.expect(ctx, `"msg":"worker started"`)
	return err
}

func (s *Shop) start(part string) (*process, error) {
	cmd := exec.Command(s.program, part)
	cmd.Env = append(os.Environ(), s.env...)
	return start(cmd)
}

// Close stops both processes; what they have to export is then exported.
func (s *Shop) Close() (err error) {
	if s.Worker != nil {
		err = s.Worker.Stop()
	}
	if s.Web != nil {
		err = errors.Join(err, s.Web.Stop())
	}
	return err
}

// SignUp posts an address and returns the task it led to, and the trace.
func (s *Shop) SignUp(ctx context.Context, email string) (task, trace string, err error) {
	body, err := do(ctx, http.MethodPost, s.Web.URL+"/users?"+url.Values{"email": {email}}.Encode())
	if err != nil {
		return "", "", err
	}
	_, err = fmt.Sscanf(string(body), "task=%s trace=%s", &task, &trace)
	return task, trace, err
}

// Get reads a page of the worker's.
func (w *Worker) Get(ctx context.Context, path string) (string, error) {
	body, err := do(ctx, http.MethodGet, w.URL+path)
	return string(body), err
}
