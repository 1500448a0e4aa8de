package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Allowed are the addresses that are not public and may be reached all the
// same. The zero value allows none.
type Allowed struct {
	all      bool
	prefixes []netip.Prefix
}

// ParseAllowed reads true, false, or networks with commas between them, such as
// 10.0.0.0/8,fd00::/8.
func ParseAllowed(text string) (a Allowed, err error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "false":
		return a, nil
	case "true":
		return Allowed{all: true}, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(one))
		if err != nil {
			return Allowed{}, errors.New("want true, false, or networks such as 10.0.0.0/8,fd00::/8")
		}
		a.prefixes = append(a.prefixes, prefix.Masked())
	}
	return a, nil
}

func (a Allowed) contains(ip netip.Addr) bool {
	if a.all {
		return true
	}
	for _, prefix := range a.prefixes {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// ErrRefused says that an address must not be reached.
var ErrRefused = errors.New("address refused")

// special are the IPv4 networks that are no public ones, beside those that
// package netip knows.
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4")

// IPv6 has public addresses in one network alone, and these are exceptions in
// it: of documentation, and those that stand for IPv4 addresses.
var (
	public6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// public tells whether an address is on the Internet. An IPv4 address that is
// wrapped in an IPv6 one must be unwrapped before.
func public(ip netip.Addr) bool {
	exceptions := special
	if ip.Is6() {
		if !public6.Contains(ip) {
			return false
		}
		exceptions = special6
	}
	for _, prefix := range exceptions {
		if prefix.Contains(ip) {
			return false
		}
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsMulticast()
}

// Client is an HTTP client that follows no redirects and uses no proxy.
type Client struct {
	*http.Client
	plain, secure *http.Transport
}

// New returns a client. What it may reach is checked when it connects, by the
// address: a name may resolve to something else by then.
//
// In clear text it speaks only to addresses that are not public.
func New(allowed Allowed, timeout time.Duration) *Client {
	c := &Client{plain: transport(allowed, true), secure: transport(allowed, false)}
	c.Client = &http.Client{
		Transport:     c,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// RoundTrip implements [http.RoundTripper].
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" {
		return c.plain.RoundTrip(r)
	}
	return c.secure.RoundTrip(r)
}

// Close closes idle connections.
func (c *Client) Close() {
	c.plain.CloseIdleConnections()
	c.secure.CloseIdleConnections()
}

func transport(allowed Allowed, plain bool) *http.Transport {
	dialer := &net.Dialer{
		Timeout: 5 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error { return check(allowed, address, plain) },
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a body that unpacks to gigabytes is not for us
	}
}

// check sees the address that is about to be connected to.
func check(allowed Allowed, address string, plain bool) error {
	addrPort, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRefused, address, err)
	}
	ip := addrPort.Addr().WithZone("").Unmap()
	switch {
	case !public(ip) && !allowed.contains(ip):
		return fmt.Errorf("%w: %s is not public, and not allowed", ErrRefused, ip)
	case plain && public(ip):
		return fmt.Errorf("%w: %s is public, and would be spoken to in clear text: use https", ErrRefused, ip)
	}
	return nil
}
