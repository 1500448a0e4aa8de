// Package harness is what the black-box suites beside it stand on: processes
// that can be killed and frozen, a proxy that cuts and freezes connections, an
// observer that looks into the database past all of this, and the task types
// the suites run.
//
// A suite's TestMain calls [Main] with its programs: functions that run in
// processes of their own, which are the test binary started again.
//
// Nothing here sleeps to wait for something: [Await] looks for a state, and a
// process says on its standard output how far it is ([Process.Expect]).
//
// Imports: orchestrator, orchestratortest, devpg, pgx and testing helpers.
package harness
