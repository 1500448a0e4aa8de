package codec

import "github.com/task-orchestrator/task-orchestrator/internal/format"

// Format is the value of a field's `format` in the spec.
type Format string

// The formats a spec may name.
const (
	Email    Format = "email"    // local@hostname; no display name, quotes or comments
	URI      Format = "uri"      // absolute, in ASCII
	IP       Format = "ip"       // version 4 or 6, without a zone
	Hostname Format = "hostname" // RFC 1123, without a final dot
)

// Valid tells whether s has the format.
func (f Format) Valid(s string) bool {
	switch f {
	case Email:
		return format.IsEmail(s)
	case URI:
		return format.IsURI(s)
	case IP:
		return format.IsIP(s)
	case Hostname:
		return format.IsHostname(s)
	}
	return false
}

func (f Format) noun() string {
	switch f {
	case Email:
		return "an email address"
	case URI:
		return "an absolute URI"
	case IP:
		return "an IP address"
	case Hostname:
		return "a host name"
	}
	return "a known format (" + string(f) + ")"
}
