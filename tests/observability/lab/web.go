package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// client keeps no connections, which would outlive a test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// do sends a request and reads the answer, which must be 200.
func do(ctx context.Context, method, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, answer.Status, body)
	}
	return body, nil
}

// getJSON reads an answer into target.
func getJSON(ctx context.Context, address string, query url.Values, target any) error {
	body, err := do(ctx, http.MethodGet, address+"?"+query.Encode())
	if err != nil {
		return err
	}
	return json.Unmarshal(body, target)
}
