package alert

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"loadstar/models"
)

func TestAChangeHoldsFromTheNextAlertOn(t *testing.T) {
	got := make(chan string, 10)
	serve := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- name }))
		t.Cleanup(s.Close)
		return s
	}
	first, second := serve("first"), serve("second")
	a, err := New(Config{URL: first.URL, Every: time.Nanosecond, Task: failed})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	a.Offer("x")
	if name := <-got; name != "first" {
		t.Errorf("the %s was told", name)
	}
	for _, url := range []string{first.URL, second.URL} { // only the last one counts
		if err := a.Change(Config{URL: url, Every: time.Nanosecond}); err != nil {
			t.Fatal(err)
		}
	}
	a.Offer("y")
	if name := <-got; name != "second" {
		t.Errorf("the %s was told", name)
	}
	var bad *models.FieldError
	if err := a.Change(Config{URL: "nowhere"}); !errors.As(err, &bad) || bad.Field != "alerts.url" {
		t.Errorf("%v", err)
	}
	stop()
	<-done
}
