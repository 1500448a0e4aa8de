package codec_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/codec"
)

// The encoder writes strings itself, checking them in the same pass; a key
// must not have other texts than the payload.
func TestKeyWritesStringsAsPayloadsDo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		w := codec.NewWriter("payload")
		w.BeginList(codec.Item)
		w.String(codec.Item, text)
		w.EndList()
		document, err := w.Finish()
		if err != nil {
			t.Skip("not storable")
		}
		require.Equal(t, string(document), codec.Key(text))
		require.True(t, json.Valid(document))
	})
}
