package spec

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// EndStates are the states in which a task ends, in the order of the docs.
var EndStates = []string{"succeeded", "dead", "cancelled", "expired"}

// endStateHints are what others call them.
var endStateHints = map[string]string{
	"success": "succeeded", "successful": "succeeded", "completed": "succeeded", "complete": "succeeded", "done": "succeeded", "finished": "succeeded",
	"failed": "dead", "failure": "dead", "error": "dead", "errored": "dead", "discarded": "dead",
	"canceled": "cancelled", "timeout": "expired", "timed_out": "expired",
}

func (r *reader) onFinish(n *Node) OnFinish {
	if n.Kind == Scalar && n.Text == "none" {
		return OnFinish{Webhook: value(r, n, "")}
	}
	if n.Kind == Scalar && !n.IsNull() {
		r.wrong(n, fmt.Sprintf("write on_finish: {webhook: %s}", shorten(n.Text)), "a mapping is expected here, not %s", describe(n))
		return OnFinish{}
	}
	var f OnFinish
	hints := map[string]string{
		"url": "write webhook", "callback": "write webhook", "hook": "write webhook", "webhooks": "write webhook: there is one",
		"state": "write states", "on": "write states", "events": "write states", "when": "write states",
		"secret": "the secret is no part of the spec: set WEBHOOK_SECRET where workers run",
	}
	r.mapping(n, hints, []entry{
		{"webhook", func(_, v *Node) { f.Webhook = r.webhook(v) }},
		{"states", func(_, v *Node) { f.States = r.endStates(v) }},
	})
	return f
}

func (r *reader) endStates(n *Node) Value[[]Value[string]] {
	list := r.words(n, snakeName, "a state such as dead", true)
	for _, state := range list.V {
		if slices.Contains(EndStates, state.V) {
			continue
		}
		suggestion := diagnostic.DidYouMean(state.V, EndStates)
		if meant := endStateHints[state.V]; meant != "" {
			suggestion = "write " + meant
		}
		r.wrong(state.Node, suggestion, "%q is not a state in which tasks end: %s", shorten(state.V), oneOf(EndStates))
		list.Set = false
	}
	return list
}

const maxURLLength = 2000

// webhook reads an absolute URL, or `none` as "".
func (r *reader) webhook(n *Node) Value[string] {
	text, ok := r.scalar(n, "a URL such as https://example.com/hooks")
	if !ok {
		return Value[string]{}
	}
	if text == "none" {
		return value(r, n, "")
	}
	if problem, suggestion := checkURL(text); problem != "" {
		r.wrong(n, suggestion, "%s", problem)
		return Value[string]{}
	}
	return value(r, n, text)
}

func checkURL(text string) (problem, suggestion string) {
	quoted := strconv.Quote(shorten(text))
	if strings.Contains(text, "${") || strings.Contains(text, "{{") {
		return quoted + " is not a URL", "write the URL itself: nothing is filled in here"
	}
	if len(text) > maxURLLength {
		return fmt.Sprintf("a URL of %d bytes; at most %d are allowed", len(text), maxURLLength), ""
	}
	u, err := url.Parse(text)
	if err != nil || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return quoted + " is not a URL", ""
	}
	switch {
	case u.User != nil:
		return "the URL holds a user name or a password", "leave them out: deliveries are signed with WEBHOOK_SECRET"
	case u.Scheme == "http" && u.Host != "" && !privateHost(u.Hostname()):
		return quoted + " would be called in clear text", "write https://" + strings.TrimPrefix(shorten(text), "http://")
	case u.Scheme != "https" && u.Scheme != "http":
		if !strings.Contains(text, "://") && !strings.HasPrefix(text, "/") && strings.Contains(text, ".") {
			suggestion = "write https://" + shorten(text)
		}
		return quoted + " does not begin with https://", suggestion
	case u.Hostname() == "":
		return quoted + " names no host", ""
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return quoted + " has a fragment, which is never sent", "leave out what begins with #"
	}
	if port := u.Port(); port != "" {
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return quoted + " has no port between 1 and 65535", ""
		}
	}
	return "", ""
}

// privateHost tells whether a host's name says that it is within a network of
// one's own, where plain http is usual.
func privateHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsPrivate() || ip.Unmap().IsLoopback()
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".lan", ".test", ".home.arpa"} {
		if strings.HasSuffix(strings.ToLower(host), suffix) {
			return true
		}
	}
	return false
}
