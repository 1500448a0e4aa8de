package store

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// claimedAtOnce is how many tasks a claim of these benchmarks brings.
const claimedAtOnce = 1000

// BenchmarkClaim claims tasks of one lane that holds many more, going on from
// where the claim before ended, as a worker does. What is claimed leaves the
// table while the clock stands still.
//
//	go test ./orchestrator/internal/store -run '^$' -bench 'Claim$' -benchtime 50x
func BenchmarkClaim(b *testing.B) {
	s := migrated(b)
	const stock = `INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at)
		SELECT 1, 0, 'q', '{"user_id": 1204, "template": "welcome"}', now() FROM generate_series(1, 10 * 1000)`
	fill(b, s, addContracts, stock)
	lane := Lane{LaneKey: LaneKey{Queue: "q"}, Want: claimedAtOnce}
	claimNumber := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		claimNumber++
		tasks, _, err := s.Claim(b.Context(), ClaimRequest{
			Lanes: []Lane{lane}, Limit: claimedAtOnce, Worker: 1, Claim: claimNumber, Known: 1, Foreign: []int32{},
		})
		b.StopTimer()
		require.NoError(b, err)
		require.Len(b, tasks, claimedAtOnce)
		last := tasks[len(tasks)-1]
		lane.Cursor = Cursor{RunAt: last.RunAt.Time(), ID: last.ID}
		fill(b, s, `DELETE FROM orchestrator.tasks WHERE state = 1`)
		if claimNumber%10 == 0 {
			fill(b, s, stock)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(claimNumber*claimedAtOnce)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkClaimedRow decodes one row that a claim returned, as it came over
// the wire: what remains of a claim when the server and the network are taken
// away.
func BenchmarkClaimedRow(b *testing.B) {
	s := migrated(b)
	fill(b, s, addContracts, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, trace_parent)
		SELECT 1, 0, 'q', '{"user_id": 1204, "template": "welcome"}', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'`)
	conn, err := s.pool.Acquire(b.Context())
	require.NoError(b, err)
	defer conn.Release()
	rows, err := conn.Query(b.Context(), `WITH c AS (SELECT `+claimedColumns+` FROM orchestrator.tasks t) SELECT `+claimedValues+` FROM c`)
	require.NoError(b, err)
	require.True(b, rows.Next())
	wire := &wireRow{types: conn.Conn().TypeMap(), fields: slices.Clone(rows.FieldDescriptions())}
	for _, value := range rows.RawValues() {
		wire.values = append(wire.values, slices.Clone(value)) // nil, which is NULL, stays nil
	}
	rows.Close()
	require.NoError(b, rows.Err())
	row := newClaimedRow()
	b.ReportAllocs()
	for b.Loop() {
		if err := row.scan(wire); err != nil {
			b.Fatal(err)
		}
	}
}

// wireRow is a row as it came over the wire, to be read again and again. As
// pgx's rows do, it finds out once how to decode each column.
type wireRow struct {
	Rows
	types  *pgtype.Map
	fields []pgconn.FieldDescription
	values [][]byte
	plans  []pgtype.ScanPlan
}

func (r *wireRow) Scan(into ...any) error {
	if r.plans == nil {
		for i, field := range r.fields {
			r.plans = append(r.plans, r.types.PlanScan(field.DataTypeOID, field.Format, into[i]))
		}
	}
	for i, plan := range r.plans {
		if err := plan.Scan(r.values[i], into[i]); err != nil {
			return err
		}
	}
	return nil
}
