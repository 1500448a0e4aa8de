package store

// BareStatements are the statements by which tasks without turns are claimed
// and finished, as they are sent to a database whose schema is the default one:
// for the program that measures how fast PostgreSQL alone can run them. Their
// arguments are those that [Store.Claim] and [Store.Finish] send, the latter for
// tasks that have ended alike.
func BareStatements() (claiming, finishing string) { return claim, finishAlike }
