// Package webhook is for programs that are told by webhook of the ends of tasks
// (on_finish in a spec):
//
//	http.HandleFunc("POST /tasks", func(w http.ResponseWriter, r *http.Request) {
//		event, err := webhook.Read(r, secrets)
//		if err != nil {
//			http.Error(w, err.Error(), http.StatusBadRequest)
//			return
//		}
//		... // event.DeliveryID is the same when a delivery is repeated
//	})
//
// Requests are signed as Standard Webhooks (standardwebhooks.com) describes, so
// its libraries for other languages verify them too.
//
// Imports: the standard library.
package webhook
