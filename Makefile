# Two commands do all on a fresh machine: make demo, make test. Neither asks
# for a database: both bring a private PostgreSQL.

GO ?= go

.DEFAULT_GOAL := help
.PHONY: help demo jaeger test test-short test-faults bench scale generate check-generated lint build clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Index the Go source tree as tasks on a private PostgreSQL: the main job.
	@$(GO) run ./examples/stdlib-index

jaeger: ## Show a retried task in a real Jaeger (built once, in minutes).
	@$(GO) run ./cmd/orchestrator dev --ephemeral -- $(GO) run ./tests/observability/tour

test: ## Run all tests with the race detector (some minutes).
	$(GO) test -race ./...

test-short: ## Run the tests that take seconds, without the race detector.
	$(GO) test -short ./...

test-faults: ## Run the long fault suite: 100,000 tasks of groups, a million limited ones.
	ORCHESTRATOR_TEST_FAULTS=1 $(GO) test -race -timeout 60m ./tests/faults

bench: ## Compare with the peers, on one durable PostgreSQL (about an hour); writes docs/benchmarks.md.
	cd tests/bench && $(GO) run . --out ../../docs/benchmarks.md

scale: ## Measure generating and building a spec of 700 task types.
	$(GO) run ./tests/scale

generate: ## Write the generated code anew after a change of tasks.yaml.
	$(GO) generate ./...
	cd tests/bench && $(GO) generate ./...

check-generated: ## Fail when generated code is stale.
	$(GO) run ./cmd/orchestrator generate --check
	@set -e; for spec in examples/*/tasks.yaml tests/bench/tasks.yaml; do \
		echo $(GO) run ./cmd/orchestrator generate --check --spec $$spec --out $${spec%.yaml}; \
		$(GO) run ./cmd/orchestrator generate --check --spec $$spec --out $${spec%.yaml}; \
	done

lint: ## Run the linters.
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./generated ./examples/.../tasks
	cd tests/bench && $(GO) vet ./... && $(GO) tool -modfile=../../tools/go.mod golangci-lint run ./...

build: ## Build the command into bin/.
	$(GO) build -o bin/orchestrator ./cmd/orchestrator

clean: ## Remove what was built here.
	rm -rf bin
