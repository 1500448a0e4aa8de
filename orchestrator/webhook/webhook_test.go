package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func secrets(t *testing.T, text string) Secrets {
	t.Helper()
	s, err := ParseSecrets(text)
	require.NoError(t, err)
	return s
}

// The example of the Standard Webhooks libraries.
func TestSignsAsTheStandardSays(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	secrets(t, oldSecret).Sign(header, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", header.Get("webhook-signature"))
	require.Equal(t, "1614265330", header.Get("webhook-timestamp"))
	require.Equal(t, "msg_p5jXN8AQM9LWM0D4loKWxJek", header.Get("webhook-id"))
}

func TestSecretsCanBeReplaced(t *testing.T) {
	t.Parallel()
	body := []byte(`{"id": 1}`)
	before, during, after := secrets(t, oldSecret), secrets(t, oldSecret+", "+newSecret), secrets(t, newSecret)
	for _, c := range []struct {
		signer, verifier Secrets
		good             bool
	}{{before, before, true}, {before, during, true}, {during, before, true}, {during, after, true}, {after, during, true}, {before, after, false}} {
		header := http.Header{}
		c.signer.Sign(header, "1", time.Now(), body)
		err := c.verifier.Verify(header, body, Tolerance)
		if c.good {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrSignature)
		}
	}
}

func TestReadRefusesWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	s := secrets(t, oldSecret)
	const good = `{"id": 7, "type": "mail:send", "state": "dead", "attempts": 2, "code": "refused"}`
	for name, c := range map[string]struct {
		at   time.Time
		body string
		tell func(http.Header)
		want error
	}{
		"good":          {time.Now(), good, func(http.Header) {}, nil},
		"body":          {time.Now(), strings.Replace(good, "dead", "fine", 1), func(http.Header) {}, ErrSignature},
		"id":            {time.Now(), good, func(h http.Header) { h.Set(HeaderID, "2") }, ErrSignature},
		"no id":         {time.Now(), good, func(h http.Header) { h.Del(HeaderID) }, ErrSignature},
		"timestamp":     {time.Now(), good, func(h http.Header) { h.Set(HeaderTimestamp, "17") }, ErrSignature},
		"bad timestamp": {time.Now(), good, func(h http.Header) { h.Set(HeaderTimestamp, "soon") }, ErrSignature},
		"no signature":  {time.Now(), good, func(h http.Header) { h.Del(HeaderSignature) }, ErrSignature},
		"other version": {time.Now(), good, func(h http.Header) { h.Set(HeaderSignature, "v1a,"+h.Get(HeaderSignature)[3:]) }, ErrSignature},
		"not base64":    {time.Now(), good, func(h http.Header) { h.Set(HeaderSignature, "v1,!") }, ErrSignature},
		"beside others": {time.Now(), good, func(h http.Header) { h.Set(HeaderSignature, "v2,x v1,AAAA "+h.Get(HeaderSignature)) }, nil},
		"old":           {time.Now().Add(-6 * time.Minute), good, func(http.Header) {}, ErrTimestamp},
		"of the future": {time.Now().Add(6 * time.Minute), good, func(http.Header) {}, ErrTimestamp},
	} {
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
		s.Sign(request.Header, "1", c.at, []byte(good))
		c.tell(request.Header)
		event, err := Read(request, s)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, Event{DeliveryID: "1", ID: 7, Type: "mail:send", State: "dead", Attempts: 2, Code: "refused"}, event)
	}
}

func TestBadSecretsAreRefusedAndNeverShown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " , ", "hunter2", "whsec_hunter2", "whsec_aHVudGVyMg==", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", oldSecret + " hunter2"} {
		_, err := ParseSecrets(text)
		require.ErrorContains(t, err, "openssl rand -base64 32", text)
		require.NotContains(t, err.Error(), "hunter2")
	}
	s := secrets(t, oldSecret)
	require.Equal(t, "[1 webhook secrets] [1 webhook secrets] [1 webhook secrets]", fmt.Sprintf("%v %+v %#v", s, s, s))
}
