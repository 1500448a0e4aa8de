// Command orchestrator is the command line of the task orchestrator: it
// generates code from tasks.yaml, runs a private PostgreSQL for development,
// migrates, and looks into the queue and mends it.
//
//	orchestrator init            start a project, or add tasks to one
//	orchestrator generate        typed Go from tasks.yaml
//	orchestrator dev -- CMD      run CMD on a private, migrated PostgreSQL
//	orchestrator enqueue TYPE    enqueue a task by hand
//	orchestrator bench           measure the database
//	orchestrator status          queues and workers
//	orchestrator tasks|dead ...  list, show, redrive, purge
//	orchestrator schedules ...   list, create, pause, trigger
//
// Results go to standard output, everything else to standard error. The exit
// status is 0 on success, 1 on failure, 2 when the command line is wrong; `dev`
// exits as its command did.
//
// With --json, listings are arrays of objects, one on a line, and everything
// else is one object. Field names do not change; they are those of
// orchestrator.TaskInfo, orchestrator.ScheduleInfo, orchestrator.Status, measure.Report and the structs named ...JSON in
// this package. Times are RFC 3339 in UTC.
//
// Each command is in a file of its own. This is the only package that reads
// flags or writes to the terminal; it may import everything but internal
// packages.
package main
