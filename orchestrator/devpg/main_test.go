package devpg_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/devpg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(devpg.Main(m)) }
