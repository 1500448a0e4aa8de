package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ScheduleSpec is what a schedule is about.
type ScheduleSpec struct {
	Name     string
	Contract int32
	Cron     string
	Timezone string
	Payload  string // JSON
	Missed   string
	Overlap  string
}

// Schedule is a row of schedules. Zero times are NULL.
type Schedule struct {
	ScheduleSpec
	TaskType     string
	Declared     bool
	UndeclaredAt time.Time
	PausedAt     time.Time
	NextAt       time.Time
	LastAt       time.Time
	LastTaskID   int64
	LastIsLive   bool // the last task has not ended
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// The last task is probed by primary key. With EXISTS the planner may read all
// tasks into a hash instead, when it expects many schedules.
const scheduleColumns = `s.name, s.contract, s.cron, s.timezone, s.payload::text, s.missed, s.overlap,
    (SELECT c.task_type FROM orchestrator.task_contracts c WHERE c.id = s.contract), s.declared, s.undeclared_at, s.paused_at,
    s.next_at, s.last_at, coalesce(s.last_task_id, 0), (SELECT true FROM orchestrator.tasks t WHERE t.id = s.last_task_id LIMIT 1) IS NOT NULL,
    s.created_at, s.updated_at`

func scanSchedule(row pgx.CollectableRow) (s Schedule, err error) {
	var undeclaredAt, pausedAt, nextAt, lastAt *time.Time
	err = row.Scan(&s.Name, &s.Contract, &s.Cron, &s.Timezone, &s.Payload, &s.Missed, &s.Overlap, &s.TaskType, &s.Declared, &undeclaredAt,
		&pausedAt, &nextAt, &lastAt, &s.LastTaskID, &s.LastIsLive, &s.CreatedAt, &s.UpdatedAt)
	for _, one := range []struct {
		to   *time.Time
		from *time.Time
	}{{&s.UndeclaredAt, undeclaredAt}, {&s.PausedAt, pausedAt}, {&s.NextAt, nextAt}, {&s.LastAt, lastAt}} {
		if one.from != nil {
			*one.to = *one.from
		}
	}
	return s, err
}

// micros is t for a statement: microseconds since 1970, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

const findDeclaration = `SELECT id FROM orchestrator.schedule_declarations WHERE name = $1 AND fingerprint = $2`

// addDeclaration is tried only after findDeclaration, because every try of an
// INSERT ... ON CONFLICT draws a number.
const addDeclaration = `
INSERT INTO orchestrator.schedule_declarations (name, fingerprint, contract, cron, timezone, payload, missed, overlap)
VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8)
ON CONFLICT (name, fingerprint) DO NOTHING`

// DeclareSchedule returns the number of a version of a declared schedule and
// stores the version first if it is new.
func (s *Store) DeclareSchedule(ctx context.Context, d ScheduleSpec, fingerprint string) (id int32, err error) {
	for {
		err := s.queryRow(ctx, findDeclaration, d.Name, fingerprint).Scan(&id)
		if !errors.Is(err, pgx.ErrNoRows) {
			return id, wrap("find the declaration of schedule "+d.Name, err)
		}
		_, err = s.exec(ctx, addDeclaration, d.Name, fingerprint, d.Contract, d.Cron, d.Timezone, d.Payload, d.Missed, d.Overlap)
		if err != nil {
			return 0, wrap("declare schedule "+d.Name, err)
		}
	}
}

// ScheduleClock is what the leader looks at to know when to look closer.
type ScheduleClock struct {
	Now      time.Time
	Next     time.Time // when the next schedule is due; zero for never
	Declared []int32   // the versions that live workers declare
}

const scheduleClock = `
SELECT now(),
    (SELECT min(s.next_at) FROM orchestrator.schedules s
     WHERE s.paused_at IS NULL AND s.undeclared_at IS NULL AND s.name <> ALL ($1::text[])),
    ARRAY(SELECT DISTINCT d.id FROM (SELECT DISTINCT w.schedules FROM orchestrator.workers w) AS w, unnest(w.schedules) AS d(id) ORDER BY 1)`

// ScheduleClock reads it, leaving out the schedules named in without.
func (s *Store) ScheduleClock(ctx context.Context, without []string) (c ScheduleClock, err error) {
	var next *time.Time
	err = s.queryRow(ctx, scheduleClock, without).Scan(&c.Now, &next, &c.Declared)
	if next != nil {
		c.Next = *next
	}
	return c, wrap("look when schedules are due", err)
}

// declaredNow is the newest version of each schedule that live workers declare.
const declaredNow = `
SELECT DISTINCT ON (d.name) d.name, d.contract, d.cron, d.timezone, d.payload::text, d.missed, d.overlap
FROM orchestrator.schedule_declarations d
WHERE d.id IN (SELECT x.id FROM orchestrator.workers w, unnest(w.schedules) AS x(id))
ORDER BY d.name, d.id DESC`

// putSchedule stores a whole schedule but for what a firing writes.
const putSchedule = `
INSERT INTO orchestrator.schedules AS s (name, contract, cron, timezone, payload, missed, overlap, declared, next_at)
VALUES ($1, $2, $3, $4, $5::json, $6, $7, $8, CASE WHEN $9::bigint > 0 THEN timestamptz 'epoch' + $9 * interval '1 microsecond' END)
ON CONFLICT (name) DO UPDATE
SET contract = EXCLUDED.contract, cron = EXCLUDED.cron, timezone = EXCLUDED.timezone, payload = EXCLUDED.payload, missed = EXCLUDED.missed,
    overlap = EXCLUDED.overlap, declared = EXCLUDED.declared, undeclared_at = NULL, next_at = EXCLUDED.next_at, updated_at = now()`

const undeclareSchedules = `
UPDATE orchestrator.schedules SET undeclared_at = now(), updated_at = now() WHERE name = ANY ($1::text[])`

// Declarations is what is to become of the schedules that specs declare.
type Declarations struct {
	Put        []Schedule
	Undeclared []string
}

// ApplyDeclarations brings the stored schedules in line with what live workers
// declare, as decide says, in one transaction. It does nothing, and says so,
// unless the leader still holds the epoch.
func (s *Store) ApplyDeclarations(ctx context.Context, l Leadership,
	decide func(declared []ScheduleSpec, there []Schedule, now time.Time) Declarations,
) (done bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		rows, err := tx.Query(ctx, s.text(declaredNow), s.mode)
		if err != nil {
			return err
		}
		declared, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ScheduleSpec])
		if err != nil {
			return err
		}
		there, err := s.schedulesIn(ctx, tx, allSchedules+` FOR UPDATE OF s`)
		if err != nil {
			return err
		}
		var now time.Time
		if err := tx.QueryRow(ctx, databaseNow).Scan(&now); err != nil {
			return err
		}
		changes := decide(declared, there, now)
		for _, one := range changes.Put {
			if err := s.putScheduleIn(ctx, tx, one); err != nil {
				return err
			}
		}
		done = true
		if len(changes.Undeclared) == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, s.text(undeclareSchedules), s.mode, changes.Undeclared)
		return err
	})
	return done, wrap("apply what specs declare of schedules", err)
}

func (s *Store) putScheduleIn(ctx context.Context, tx pgx.Tx, one Schedule) error {
	_, err := tx.Exec(ctx, s.text(putSchedule), s.mode, one.Name, one.Contract, one.Cron, one.Timezone, one.Payload, one.Missed, one.Overlap,
		one.Declared, micros(one.NextAt))
	return err
}

func (s *Store) schedulesIn(ctx context.Context, tx pgx.Tx, statement string, args ...any) ([]Schedule, error) {
	rows, err := tx.Query(ctx, s.text(statement), append([]any{s.mode}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanSchedule)
}

const allSchedules = `
SELECT ` + scheduleColumns + ` FROM orchestrator.schedules s ORDER BY s.name`

// Schedules returns all schedules by name.
func (s *Store) Schedules(ctx context.Context) ([]Schedule, error) {
	rows, err := s.query(ctx, allSchedules)
	if err != nil {
		return nil, wrap("read schedules", err)
	}
	all, err := pgx.CollectRows(rows, scanSchedule)
	return all, wrap("read schedules", err)
}

// dueSchedules uses the index schedules_due. What is locked is being changed by
// somebody, and due again at the next turn.
const dueSchedules = `
SELECT ` + scheduleColumns + ` FROM orchestrator.schedules s
WHERE s.paused_at IS NULL AND s.undeclared_at IS NULL AND s.next_at <= now() AND s.name <> ALL ($1::text[])
ORDER BY s.next_at, s.name LIMIT $2
FOR UPDATE OF s SKIP LOCKED`

// Firing is what becomes of a schedule that is due.
type Firing struct {
	Tasks  []NewTask // in order of their due times
	LastAt time.Time // the last due time of Tasks
	NextAt time.Time // zero for never again
}

const advanceSchedules = `
UPDATE orchestrator.schedules s
SET next_at = CASE WHEN x.next_at > 0 THEN timestamptz 'epoch' + x.next_at * interval '1 microsecond' END,
    last_at = CASE WHEN x.last_at > 0 THEN timestamptz 'epoch' + x.last_at * interval '1 microsecond' ELSE s.last_at END,
    last_task_id = coalesce(nullif(x.task_id, 0), s.last_task_id)
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS x(name, next_at, last_at, task_id)
WHERE s.name = x.name`

// FireSchedules enqueues the tasks of at most limit schedules that are due, and
// notes their next due times, in one transaction: whoever else leads, has led
// or tries again finds either both done or neither. It does nothing unless the
// leader still holds the epoch. decide says what becomes of each schedule, false
// to leave it as it is; schedules named in without are not looked at.
//
// It returns the ids of the tasks in the order in which decide gave them.
func (s *Store) FireSchedules(ctx context.Context, l Leadership, without []string, limit int,
	decide func(due Schedule, contract Contract, now time.Time) (Firing, bool),
) (ids []int64, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if leads, err := s.leads(ctx, tx, l); err != nil || !leads {
			return err
		}
		due, err := s.schedulesIn(ctx, tx, dueSchedules, without, limit)
		if err != nil || len(due) == 0 {
			return err
		}
		var now time.Time
		if err := tx.QueryRow(ctx, databaseNow).Scan(&now); err != nil {
			return err
		}
		contracts, err := s.contractsIn(ctx, tx, due)
		if err != nil {
			return err
		}
		var names []string
		var firings []Firing
		for _, one := range due {
			if firing, ok := decide(one, contracts[one.Contract], now); ok {
				names, firings = append(names, one.Name), append(firings, firing)
			}
		}
		ids, err = s.fireIn(ctx, tx, names, firings)
		return err
	})
	return ids, wrap("fire schedules", err)
}

const contractsByID = `SELECT ` + contractColumns + ` FROM orchestrator.task_contracts WHERE id = ANY ($1::integer[])`

// contractsIn returns the contracts of schedules, by id.
func (s *Store) contractsIn(ctx context.Context, tx pgx.Tx, schedules []Schedule) (map[int32]Contract, error) {
	ids := make([]int32, len(schedules))
	for i, one := range schedules {
		ids[i] = one.Contract
	}
	rows, err := tx.Query(ctx, s.text(contractsByID), s.mode, ids)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, scanContract)
	byID := make(map[int32]Contract, len(all))
	for _, one := range all {
		byID[one.ID] = one
	}
	return byID, err
}

func (s *Store) fireIn(ctx context.Context, tx pgx.Tx, names []string, firings []Firing) (ids []int64, err error) {
	var tasks []NewTask
	for _, one := range firings {
		tasks = append(tasks, one.Tasks...)
	}
	if len(tasks) > 0 {
		inserted, _, err := s.insertIn(ctx, arrayInserter{s, tx}, tasks)
		if err != nil {
			return nil, err
		}
		for _, one := range inserted {
			ids = append(ids, one.ID)
		}
	}
	next, last, lastTask := make([]int64, len(names)), make([]int64, len(names)), make([]int64, len(names))
	n := 0
	for i, one := range firings {
		next[i], last[i] = micros(one.NextAt), micros(one.LastAt)
		if n += len(one.Tasks); len(one.Tasks) > 0 {
			lastTask[i] = ids[n-1]
		}
	}
	_, err = tx.Exec(ctx, s.text(advanceSchedules), s.mode, names, next, last, lastTask)
	return ids, err
}

// ErrNoSchedule says that no schedule of a name is stored.
var ErrNoSchedule = errors.New("no schedule")

const scheduleByName = `
SELECT ` + scheduleColumns + ` FROM orchestrator.schedules s WHERE s.name = $1`

// ScheduleByName returns one schedule, or ErrNoSchedule.
func (s *Store) ScheduleByName(ctx context.Context, name string) (Schedule, error) {
	rows, err := s.query(ctx, scheduleByName, name)
	if err != nil {
		return Schedule{}, wrap("read schedule "+name, err)
	}
	one, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	if errors.Is(err, pgx.ErrNoRows) {
		return one, ErrNoSchedule
	}
	return one, wrap("read schedule "+name, err)
}

// ChangeSchedule lets change look at a schedule, nil when there is none, and do
// something about it, in one transaction in which nobody else changes it.
func (s *Store) ChangeSchedule(ctx context.Context, name string, change func(there *Schedule, now time.Time, tx *ScheduleTx) error) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		// Also when it is not there yet: two may be about to put it.
		var now time.Time
		if err := tx.QueryRow(ctx, s.text(lockScheduleName), s.schema+" schedule "+name).Scan(&now); err != nil {
			return wrap("lock schedule "+name, err)
		}
		found, err := s.schedulesIn(ctx, tx, scheduleByName+` FOR UPDATE OF s`, name)
		if err != nil {
			return wrap("read schedule "+name, err)
		}
		var there *Schedule
		if len(found) > 0 {
			there = &found[0]
		}
		return change(there, now, &ScheduleTx{s: s, tx: tx, name: name})
	})
}

const lockScheduleName = `SELECT now() FROM pg_advisory_xact_lock(hashtextextended($1, 0))`

// ScheduleTx is a transaction that has a schedule locked.
type ScheduleTx struct {
	s    *Store
	tx   pgx.Tx
	name string
}

// Put stores the schedule.
func (t *ScheduleTx) Put(ctx context.Context, one Schedule) error {
	one.Name = t.name
	return wrap("store schedule "+t.name, t.s.putScheduleIn(ctx, t.tx, one))
}

const pauseSchedule = `
UPDATE orchestrator.schedules SET paused_at = now(), updated_at = now() WHERE name = $1`

// Pause notes that the schedule rests.
func (t *ScheduleTx) Pause(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, t.s.text(pauseSchedule), t.s.mode, t.name)
	return wrap("pause schedule "+t.name, err)
}

const resumeSchedule = `
UPDATE orchestrator.schedules
SET paused_at = NULL, updated_at = now(), next_at = CASE WHEN $2::bigint > 0 THEN timestamptz 'epoch' + $2 * interval '1 microsecond' END
WHERE name = $1`

// Resume lets the schedule go on with a due time.
func (t *ScheduleTx) Resume(ctx context.Context, next time.Time) error {
	_, err := t.tx.Exec(ctx, t.s.text(resumeSchedule), t.s.mode, t.name, micros(next))
	return wrap("resume schedule "+t.name, err)
}

const deleteSchedule = `DELETE FROM orchestrator.schedules WHERE name = $1`

// Delete removes the schedule.
func (t *ScheduleTx) Delete(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, t.s.text(deleteSchedule), t.s.mode, t.name)
	return wrap("delete schedule "+t.name, err)
}

const triggeredSchedule = `
UPDATE orchestrator.schedules SET last_task_id = $2 WHERE name = $1`

// Contract is the contract of the schedule's task.
func (t *ScheduleTx) Contract(ctx context.Context, there *Schedule) (Contract, error) {
	contracts, err := t.s.contractsIn(ctx, t.tx, []Schedule{*there})
	return contracts[there.Contract], wrap("read the contract of schedule "+t.name, err)
}

// Trigger enqueues a task of the schedule beside its due times.
func (t *ScheduleTx) Trigger(ctx context.Context, task NewTask) (Inserted, error) {
	inserted, _, err := t.s.insertIn(ctx, arrayInserter{t.s, t.tx}, []NewTask{task})
	if err == nil {
		_, err = t.tx.Exec(ctx, t.s.text(triggeredSchedule), t.s.mode, t.name, inserted[0].ID)
	}
	if err != nil {
		return Inserted{}, wrap("trigger schedule "+t.name, err)
	}
	return inserted[0], nil
}

const forgetSchedules = `
DELETE FROM orchestrator.schedules s WHERE s.name IN (
    SELECT o.name FROM orchestrator.schedules o
    WHERE o.undeclared_at < now() - interval '30 days' ORDER BY o.name LIMIT $1 FOR UPDATE SKIP LOCKED)`

// ForgetSchedules deletes at most limit schedules that nobody has declared for
// 30 days.
func (s *Store) ForgetSchedules(ctx context.Context, l Leadership, limit int) (int64, error) {
	return s.duty(ctx, l, "forget schedules that nobody declares", forgetSchedules, limit)
}
