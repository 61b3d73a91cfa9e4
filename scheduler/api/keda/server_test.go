package keda

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"loadstar/models"
	"loadstar/scheduler/api/keda/externalscaler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pools can be changed while they are asked for.
type pools struct {
	mu  sync.Mutex
	all []models.PoolStatus
	err error
}

func (p *pools) get(context.Context) ([]models.PoolStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]models.PoolStatus(nil), p.all...), p.err
}

func (p *pools) set(err error, all ...models.PoolStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all, p.err = all, err
}

func pool(name string, decided, wanted int) models.PoolStatus {
	s := models.PoolStatus{PoolSpec: models.PoolSpec{Name: name}, Wanted: wanted}
	if decided >= 0 {
		s.Decision = &models.Decision{Want: decided}
	}
	return s
}

// setup is a client of a server that runs until the test ends.
func setup(t *testing.T, p *pools) externalscaler.ExternalScalerClient {
	t.Helper()
	s, err := New(Config{Pools: p.get, Look: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 16)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	conn, err := grpc.NewClient("passthrough:///keda", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	return externalscaler.NewExternalScalerClient(conn)
}

func object(pool string) *externalscaler.ScaledObjectRef {
	ref := &externalscaler.ScaledObjectRef{Name: "workers", Namespace: "ml"}
	if pool != "" {
		ref.ScalerMetadata = map[string]string{"pool": pool}
	}
	return ref
}

func TestWantedWorkersAreToldAndFollowed(t *testing.T) {
	p := &pools{}
	p.set(nil, pool("cpu", 9, 9), pool("gpu", 3, 1)) // gpu recommends: nothing was done about its 3
	c := setup(t, p)
	ask := func() float64 {
		t.Helper()
		r, err := c.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: object("gpu"), MetricName: "s0-loadstar-workers-gpu"})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.GetMetricValues()) != 1 || r.GetMetricValues()[0].GetMetricName() != "loadstar-workers-gpu" {
			t.Fatalf("%v", r)
		}
		return r.GetMetricValues()[0].GetMetricValueFloat()
	}
	if got := ask(); got != 3 {
		t.Errorf("%v workers are wanted, not 3", got)
	}
	p.set(nil, pool("gpu", 17, 17))
	if got := ask(); got != 17 {
		t.Errorf("%v workers are wanted, not 17", got)
	}
	p.set(nil, pool("gpu", -1, 2)) // before its first decision
	if got := ask(); got != 2 {
		t.Errorf("%v workers are wanted, not 2", got)
	}
	spec, err := c.GetMetricSpec(t.Context(), object("gpu"))
	if err != nil || len(spec.GetMetricSpecs()) != 1 || spec.GetMetricSpecs()[0].GetTargetSizeFloat() != 1 || spec.GetMetricSpecs()[0].GetMetricName() != "loadstar-workers-gpu" {
		t.Errorf("%v %v", spec, err)
	}
	stream, err := c.StreamMetricSpec(t.Context(), object("gpu"))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := stream.Recv(); err != nil || first.GetMetricSpecs()[0].GetTargetSizeFloat() != 1 {
		t.Errorf("%v %v", first, err)
	}
}

func TestAPoolIsActiveWhileItHasOrWantsWork(t *testing.T) {
	busy, queued := pool("gpu", 0, 0), pool("gpu", 0, 0)
	busy.Busy, queued.Queued = 1, 1
	p := &pools{}
	c := setup(t, p)
	for _, tc := range []struct {
		name string
		pool models.PoolStatus
		want bool
	}{
		{"idle", pool("gpu", 0, 0), false}, {"wanted", pool("gpu", 1, 0), true}, {"busy", busy, true}, {"queued", queued, true},
	} {
		p.set(nil, tc.pool)
		r, err := c.IsActive(t.Context(), object("gpu"))
		if err != nil || r.GetResult() != tc.want {
			t.Errorf("%s: %v %v", tc.name, r, err)
		}
	}
	p.set(nil, pool("gpu", 0, 0))
	stream, err := c.StreamIsActive(t.Context(), object("gpu"))
	if err != nil {
		t.Fatal(err)
	}
	var got []bool
	for _, next := range []int{4, 0, 0} {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.GetResult())
		p.set(nil, pool("gpu", next, next))
	}
	if diff := cmp.Diff([]bool{false, true, false}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeAnsweredIsRefusedInOneLine(t *testing.T) {
	p := &pools{}
	p.set(nil, pool("cpu", 1, 1), pool("gpu", 1, 1))
	c := setup(t, p)
	check := func(err error, code codes.Code, text string) {
		t.Helper()
		if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
			t.Errorf("%v, want %s with %q", err, code, text)
		}
	}
	_, err := c.IsActive(t.Context(), object(""))
	check(err, codes.InvalidArgument, `the metadata of ml/workers names no "pool"`)
	_, err = c.GetMetricSpec(t.Context(), object("tpu"))
	check(err, codes.NotFound, `ml/workers asks for pool "tpu"; there are cpu, gpu`)
	_, err = c.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: object("gpu"), MetricName: "s0-other"})
	check(err, codes.NotFound, `there is no metric "s0-other", but loadstar-workers-gpu`)
	_, err = c.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{})
	check(err, codes.InvalidArgument, "names no")
	stream, err := c.StreamIsActive(t.Context(), object("tpu"))
	if err == nil {
		_, err = stream.Recv()
	}
	check(err, codes.NotFound, "tpu")
	p.set(errors.New("the journal is being replayed"))
	_, err = c.IsActive(t.Context(), object("gpu"))
	check(err, codes.Unavailable, "the journal is being replayed")
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for field, cfg := range map[string]Config{"pools": {}, "look": {Pools: (&pools{}).get, Look: -1}} {
		var bad *models.FieldError
		if _, err := New(cfg); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
