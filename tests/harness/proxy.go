package harness

import (
	"bytes"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy is a network between a program and its database that fails on demand.
// It relays TCP connections over loopback.
type Proxy struct {
	target   string
	listener net.Listener
	ended    sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]struct{}
	isolated bool
	loses    func(request []byte) bool // nil: nothing is lost
	lost     int
	closed   bool
}

// link is one relayed connection.
type link struct {
	client, server net.Conn
	// gate is closed while data may pass.
	gate chan struct{}
	// doomed says that the answer to what the client has just sent is lost.
	doomed bool
}

// NewProxy returns a proxy, and url with its address in place of the
// database's.
func NewProxy(t testing.TB, databaseURL string) (p *Proxy, proxied string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	p = &Proxy{target: u.Host, links: map[*link]struct{}{}}
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.ended.Go(p.accept)
	t.Cleanup(p.close)
	u.Host = p.listener.Addr().String()
	return p, u.String()
}

// Cut ends all connections without a word, as a restarting router does.
func (p *Proxy) Cut() {
	p.each(func(l *link) { l.cut() })
}

// Freeze lets nothing more pass on the connections there are: they are
// half-open, and neither side is told. New ones work.
func (p *Proxy) Freeze() {
	p.each(func(l *link) { l.shut() })
}

// Isolate freezes new connections too, as a partition of the network does.
func (p *Proxy) Isolate() {
	p.mu.Lock()
	p.isolated = true
	p.mu.Unlock()
	p.Freeze()
}

// Thaw ends Freeze and Isolate. What was on its way arrives now.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	p.isolated = false
	p.mu.Unlock()
	p.each(func(l *link) { l.open() })
}

// LoseAnswers lets every request for which it returns true reach the database,
// and cuts the connection when the answer comes: whoever asked cannot know
// whether it was done. nil loses nothing. Lost counts them.
func (p *Proxy) LoseAnswers(to func(request []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loses = to
}

// Lost is how many answers were lost so far.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Commits matches a COMMIT, as pgx and database/sql send it.
func Commits(request []byte) bool {
	return bytes.Contains(bytes.ToLower(request), []byte("commit\x00"))
}

// Every matches each n-th request.
func Every(n int) func([]byte) bool {
	i := 0 // the proxy calls this under its mutex
	return func([]byte) bool {
		i++
		return i%n == 0
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.ended.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.relay(client) })
	}
}

func (p *Proxy) relay(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close() // the database is down, and so the connection is refused
		return
	}
	l := &link{client: client, server: server, gate: make(chan struct{})}
	close(l.gate)
	p.mu.Lock()
	if p.isolated {
		l.gate = make(chan struct{})
	}
	if p.closed {
		l.cut()
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.copy(l, l.client, l.server, p.request) })
	both.Go(func() { p.copy(l, l.server, l.client, p.answer) })
	both.Wait()

	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// copy relays one direction until either end is closed; then it closes both.
// What the client sent before it closed is still delivered, as TCP would.
func (p *Proxy) copy(l *link, from, to net.Conn, look func(*link, []byte) (pass bool)) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		<-p.gateOf(l)
		if !look(l, buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) gateOf(l *link) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.gate
}

func (p *Proxy) request(l *link, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loses != nil && p.loses(data) {
		l.doomed = true
	}
	return true
}

func (p *Proxy) answer(l *link, _ []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.doomed {
		p.lost++
	}
	return !l.doomed
}

func (p *Proxy) each(do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		do(l)
	}
}

// The methods of link are called under the proxy's mutex.

func (l *link) cut() {
	_ = l.client.Close()
	_ = l.server.Close()
	l.open()
}

func (l *link) shut() {
	select {
	case <-l.gate:
		l.gate = make(chan struct{})
	default: // shut already
	}
}

func (l *link) open() {
	select {
	case <-l.gate:
	default:
		close(l.gate)
	}
}

// WithOptions adds settings of the server to a URL, such as
// "statement_timeout=50ms".
func WithOptions(t testing.TB, databaseURL string, settings ...string) string {
	t.Helper()
	options := make([]string, len(settings))
	for i, setting := range settings {
		options[i] = "-c " + setting
	}
	return WithParameter(t, databaseURL, "options", strings.Join(options, " "))
}

// WithParameter adds one parameter to a URL, such as pool_max_conns.
func WithParameter(t testing.TB, databaseURL, name, value string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String()
}
