// Package codec is what generated code stands on: it writes payloads and
// results as JSON, checks their constraints, reads them back, and makes the
// keys that tell tasks apart. It is for generated code; its API follows the
// generator's needs.
//
// A generated type has one method, encode, that lists its fields and their
// constraints. It drives a [Writer], which writes JSON and collects violations
// in the same pass, so that a string is scanned once for escapes, UTF-8 and
// NUL, and so that Validate and EncodePayload cannot disagree.
//
//	func (p *LineItem) encode(w *codec.Writer, name string) {
//		w.BeginObject(name)
//		w.String("sku", p.SKU)
//		w.Int("quantity", p.Quantity)
//		w.Check(p.Quantity >= 1, "must be at least 1")
//		w.EndObject()
//	}
//
// The functions are not generic and take values, not interfaces, where tasks
// pass by the hundred thousand: a package of many task types must build fast,
// and an encode allocates only its result. Functions that the compiler would
// copy into every generated one are marked go:noinline for the same reason.
//
// It imports the standard library, package orchestrator, which never imports
// it, and its internal packages canonical and format.
package codec
