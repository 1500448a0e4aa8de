package orchestrator

import "github.com/google/uuid"

// UUID is the type of `uuid` fields.
type UUID = uuid.UUID
