package codec

import (
	"net/netip"
	"net/url"
	"strings"
)

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
		return isEmail(s)
	case URI:
		return isURI(s)
	case IP:
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Zone() == ""
	case Hostname:
		return isHostname(s)
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

// isEmail takes the addresses in use: RFC 5321 without quoted local parts and
// address literals.
func isEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > 254 {
		return false
	}
	local := s[:at]
	if local[0] == '.' || local[at-1] == '.' || strings.Contains(local, "..") {
		return false
	}
	for i := range len(local) {
		if c := local[i]; !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) < 0 {
			return false
		}
	}
	return isHostname(s[at+1:])
}

func isURI(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7F || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.IsAbs()
}

func isHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	label := 0 // length so far
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return false
			}
		case !isAlphanumeric(c):
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && s[len(s)-1] != '-'
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
