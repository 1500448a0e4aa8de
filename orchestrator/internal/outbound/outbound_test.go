package outbound

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func allowed(t *testing.T, text string) Allowed {
	t.Helper()
	a, err := ParseAllowed(text)
	require.NoError(t, err)
	return a
}

func TestOnlyPublicAddressesUnlessAllowed(t *testing.T) {
	t.Parallel()
	public := []string{"1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"}
	private := []string{
		"127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
		"::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::", "2001:0:1::1", "2001:db8::1", "3fff::1", "100::1", "4000::1",
	}
	for _, ip := range public {
		address := net.JoinHostPort(ip, "443")
		require.NoError(t, check(Allowed{}, address, false), ip)
		require.ErrorIs(t, check(allowed(t, "true"), address, true), ErrRefused, "%s in clear text", ip)
	}
	for _, ip := range private {
		address := net.JoinHostPort(ip, "443")
		require.ErrorIs(t, check(Allowed{}, address, false), ErrRefused, ip)
		require.ErrorIs(t, check(allowed(t, "203.0.114.0/24"), address, false), ErrRefused, ip)
		require.NoError(t, check(allowed(t, "true"), address, true), ip)
	}
	some := allowed(t, "10.1.0.0/16, fd00::/8")
	require.NoError(t, check(some, "10.1.2.3:80", true))
	require.NoError(t, check(some, "[::ffff:10.1.2.3]:80", true))
	require.NoError(t, check(some, "[fd00::1]:80", true))
	require.ErrorIs(t, check(some, "10.2.0.1:80", false), ErrRefused)
	require.ErrorIs(t, check(some, "nonsense", false), ErrRefused)
}

func TestBadNetworksAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"yes", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/8,,"} {
		_, err := ParseAllowed(text)
		require.ErrorContains(t, err, "want true, false, or networks", text)
	}
}

// The name is looked up by the very connection: what it resolves to at the
// moment counts, and nothing listens to what was checked before.
func TestNamesCountAsWhatTheyResolveTo(t *testing.T) {
	t.Parallel()
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	byName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	client := New(Allowed{}, 5*time.Second)
	defer client.Close()
	for _, url := range []string{server.URL, byName, strings.Replace(byName, "http:", "https:", 1)} {
		_, err := client.Get(url) //nolint:bodyclose // there is none
		require.ErrorIs(t, err, ErrRefused, url)
	}
	require.False(t, reached)

	open := New(allowed(t, "127.0.0.0/8, ::1/128"), 5*time.Second)
	defer open.Close()
	response, err := open.Get(byName)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.True(t, reached)
}

func TestNoRedirectsNoProxyNoPatience(t *testing.T) {
	t.Parallel()
	require.Nil(t, transport(Allowed{}, false).Proxy)
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-hang
			return
		}
		http.Redirect(w, r, "/hang", http.StatusFound)
	}))
	defer server.Close()
	defer close(hang)
	client := New(allowed(t, "true"), 200*time.Millisecond)
	defer client.Close()
	response, err := client.Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusFound, response.StatusCode)
	_, err = client.Get(server.URL + "/hang") //nolint:bodyclose // there is none
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
