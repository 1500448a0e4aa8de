// Package orchestratortest helps to test code that enqueues and handles tasks.
//
// Without a database:
//
//	rec := &orchestratortest.Recorder{}          // an orchestrator.Enqueuer
//	signUp(ctx, rec, user)                       // code under test
//	orchestratortest.Enqueued(t, rec, &tasks.EmailSend) // []tasks.EmailSendPayload
//
//	out := orchestratortest.Run(t, &tasks.EmailSend, handler.HandleEmailSend, payload)
//	require.Equal(t, orchestrator.Retrying, out.State)
//
// With one, which is made for the test and removed after it:
//
//	client := orchestratortest.Client(t)         // a fresh, migrated database
//	tasks.EnqueueEmailSend(ctx, client, payload)
//	orchestratortest.Drain(t, client, mux)       // run everything until nothing is left
//
// The databases are clones of a migrated template on a private PostgreSQL (see
// package devpg), so each test has its own and tests run in parallel. Call
// [Main] from TestMain to stop the server at the end.
//
// Imports: orchestrator, devpg, and testing helpers.
package orchestratortest
