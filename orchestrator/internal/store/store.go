package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/uptrace/bun"
)

// Store runs the engine's statements on one database.
type Store struct {
	pool   *pgxpool.Pool
	db     *bun.DB
	schema string
	// mode is how hot statements run: prepared once a connection, or, behind a
	// pooler in transaction mode, without prepared statements.
	mode  pgx.QueryExecMode
	texts sync.Map // statement as written -> statement for this schema
	// rechecks is what rechecksPlaces has found out, nil before.
	rechecks atomic.Pointer[bool]
}

// New returns a Store over pool and over db, which must be the same database.
func New(pool *pgxpool.Pool, db *bun.DB, schema string, transactionPooler bool) *Store {
	s := &Store{pool: pool, db: db, schema: schema, mode: pgx.QueryExecModeCacheStatement}
	if transactionPooler {
		s.mode = pgx.QueryExecModeExec
	}
	return s
}

// Schema is the schema of the engine's tables.
func (s *Store) Schema() string { return s.schema }

const writtenSchema = "orchestrator"

// text is statement in this store's schema.
func (s *Store) text(statement string) string {
	if s.schema == writtenSchema {
		return statement
	}
	if text, ok := s.texts.Load(statement); ok {
		return text.(string)
	}
	text := strings.ReplaceAll(statement, writtenSchema+".", s.schema+".")
	s.texts.Store(statement, text)
	return text
}

// query runs a statement on the pool, prepared unless a pooler forbids it.
func (s *Store) query(ctx context.Context, statement string, args ...any) (pgx.Rows, error) {
	return s.pool.Query(ctx, s.text(statement), append([]any{s.mode}, args...)...)
}

// queryRow runs a statement that returns one row.
func (s *Store) queryRow(ctx context.Context, statement string, args ...any) pgx.Row {
	return s.pool.QueryRow(ctx, s.text(statement), append([]any{s.mode}, args...)...)
}

// exec runs a statement that returns no rows and says how many it changed.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := s.pool.Exec(ctx, s.text(statement), append([]any{s.mode}, args...)...)
	return tag.RowsAffected(), err
}

// rechecksPlaces tells whether an UPDATE that goes by a row's place (ctid) leaves
// the row alone when it finds, having waited for somebody's lock, that the row has
// another version now, in another place. PostgreSQL changed that version before
// its releases of November 2025: see "Add missing EPQ recheck for TID Scan" in the
// notes of 18.1, 17.7, 16.11 and 15.15.
func (s *Store) rechecksPlaces(ctx context.Context) (bool, error) {
	if known := s.rechecks.Load(); known != nil {
		return *known, nil
	}
	var version int // 150018 for 15.18
	if err := s.queryRow(ctx, `SELECT current_setting('server_version_num')::integer`).Scan(&version); err != nil {
		return false, wrap("ask for the version of PostgreSQL", err)
	}
	rechecks := rechecksPlaces(version)
	s.rechecks.Store(&rechecks)
	return rechecks, nil
}

func rechecksPlaces(version int) bool {
	first, listed := firstToRecheck[version/10_000]
	if !listed {
		return version >= 19_00_00
	}
	return version >= first
}

// firstToRecheck are the releases since which places are rechecked, of the
// versions that had others before.
var firstToRecheck = map[int]int{15: 15_00_15, 16: 16_00_11, 17: 17_00_07, 18: 18_00_01}

// Uncompiled keeps PostgreSQL from compiling the statements of a connection
// (JIT). It does so where it expects much work, which it expects of large tables
// even if a statement ends at a LIMIT, anew at every execution, and it takes
// longer than most of the engine's statements do.
func Uncompiled(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET jit = off`)
	return err
}

// inTx runs one of the engine's own transactions. PostgreSQL ends it when the
// process is frozen in the middle, because its locks keep others from their
// work: a leader's from leading, an enqueuer's from its keys. See [Uncompiled]
// for jit, which a pool of the caller's may have.
func (s *Store) inTx(ctx context.Context, do func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, do)
}

const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL jit = off`

// inLongTx is inTx forAsLongAsItTakes.
func (s *Store) inLongTx(ctx context.Context, do func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin + "; " + forAsLongAsItTakes}, do)
}

// forAsLongAsItTakes comes before a statement that reads the whole table of
// tasks, or makes tables, in its transaction: a statement_timeout that suits all
// others must not keep it from ever ending. Its context bounds it.
const forAsLongAsItTakes = `SET LOCAL statement_timeout = 0`

// Rows is what statements inside a caller's transaction return: the part of
// [sql.Rows] and [pgx.Rows] that they share.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

// Querier runs a statement with $1 arguments inside a transaction of the
// caller's. The rows are closed by reading them to the end or by close.
type Querier interface {
	Query(ctx context.Context, statement string, args ...any) (rows Rows, closeRows func(), err error)
}

// SQLTx is a Querier over a database/sql transaction of whatever driver.
type SQLTx struct {
	*sql.Tx
	// mode is that of [Store.OwnTx]. Only pgx knows it, so it is 0 elsewhere.
	mode pgx.QueryExecMode
}

// OwnTx is a Querier over a transaction on the Store's own database handle,
// whose statements are prepared as the Store's others are.
func (s *Store) OwnTx(tx *sql.Tx) SQLTx { return SQLTx{tx, s.mode} }

// Query implements [Querier].
func (tx SQLTx) Query(ctx context.Context, statement string, args ...any) (Rows, func(), error) {
	if tx.mode != 0 {
		args = append([]any{tx.mode}, args...)
	}
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, nil, err
	}
	return rows, func() { _ = rows.Close() }, nil
}

// PgxTx is a Querier over a pgx transaction.
type PgxTx struct{ pgx.Tx }

// Query implements [Querier].
func (tx PgxTx) Query(ctx context.Context, statement string, args ...any) (Rows, func(), error) {
	rows, err := tx.Tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, nil, err
	}
	return rows, rows.Close, nil
}

// SQLState is the five-character code of a PostgreSQL error anywhere in err's
// chain, or "" when there is none, as when no answer came.
func SQLState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// Uncertain tells whether err leaves open what a statement has done: no answer
// came, or it is of a server that was going away, or of a pooler that lost its
// server (SQLSTATE classes 08, 57P and 58), and the commit may have been made.
func Uncertain(err error) bool {
	state := SQLState(err)
	return err != nil && (state == "" || strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") || strings.HasPrefix(state, "58"))
}

// RowFault tells whether err is about the data of a row (SQLSTATE classes 22,
// 23 and 54), so that a batch should be split to find the culprit. Everything
// else concerns the statement or the server, and a retry of the whole may help.
func RowFault(err error) bool {
	state := SQLState(err)
	return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") || strings.HasPrefix(state, "54")
}

// lockNotAvailable is the SQLSTATE of a statement that waited for a lock for as
// long as lock_timeout lets it.
const lockNotAvailable = "55P03"

// CutShort tells whether the server has ended a statement before it was done,
// mostly by statement_timeout: it may succeed when the server is less busy.
func CutShort(err error) bool { return SQLState(err) == "57014" }

// TookTooLong tells whether a statement was ended by statement_timeout or by
// the deadline of its context, so that a smaller one may succeed.
func TookTooLong(err error) bool {
	return CutShort(err) || errors.Is(err, context.DeadlineExceeded)
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch SQLState(err) {
	case "42P01", "3F000": // undefined table, invalid schema name
		return fmt.Errorf("orchestrator: %s: the database has no tables of the engine, or in another schema; run `orchestrator migrate up`, or client.Migrator().Up: %w", doing, err)
	}
	return fmt.Errorf("orchestrator: %s: %w", doing, err)
}
